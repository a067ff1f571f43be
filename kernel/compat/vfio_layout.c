// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is the running kernel's struct vfio_iommu_driver_ops what we were built for?
 *
 * The kernel describes its types in BTF (Documentation/bpf/btf.rst): vmlinux's
 * in /sys/kernel/btf/vmlinux, and what module vfio adds to them in
 * /sys/kernel/btf/vfio, whose type ids and string offsets go on where
 * vmlinux's end. We look the struct up and compare its size, the name and offset
 * of each member, and the number of arguments of each function.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/btf.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/vmalloc.h>
#include <uapi/linux/btf.h>

#include "vfio_driver.h"

struct layout_member {
	const char	*name;
	u32		offset;
	int		nargs;	/* -1: not a function */
};

#define MEMBER(_name, _nargs)						\
	{ .name = #_name, .nargs = (_nargs),				\
	  .offset = offsetof(struct vfio_iommu_driver_ops, _name) }

static const struct layout_member layout_members[] = {
	MEMBER(name, -1),
	MEMBER(owner, -1),
	MEMBER(open, 1),
	MEMBER(release, 1),
	MEMBER(ioctl, 3),
	MEMBER(attach_group, 3),
	MEMBER(detach_group, 2),
	MEMBER(pin_pages, 6),
	MEMBER(unpin_pages, 3),
	MEMBER(register_device, 2),
	MEMBER(unregister_device, 2),
	MEMBER(dma_rw, 5),
	MEMBER(group_iommu_domain, 2),
#ifdef PREREG_HAS_VFIO_NOTIFY
	MEMBER(notify, 2),
#endif
};

/* One BTF blob, and the one it continues. */
struct layout_btf {
	const struct layout_btf	*base;
	void			*data;
	const void		*types;
	const void		*types_end;
	const char		*strings;
	u32			strings_bytes;
	u32			first_id;	/* id of its first type */
	u32			end_id;		/* behind its last one */
	u32			first_string;	/* offset of its first string */
};

/* Bytes a type takes, or 0 if this code does not know its kind. */
static size_t layout_type_bytes(const struct btf_type *type)
{
	u32 n = BTF_INFO_VLEN(type->info);
	size_t extra;

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		extra = 0;
		break;
	case BTF_KIND_INT:
		extra = sizeof(u32);
		break;
	case BTF_KIND_ARRAY:
		extra = sizeof(struct btf_array);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		extra = n * sizeof(struct btf_member);
		break;
	case BTF_KIND_ENUM:
		extra = n * sizeof(struct btf_enum);
		break;
	case BTF_KIND_ENUM64:
		extra = n * sizeof(struct btf_enum64);
		break;
	case BTF_KIND_FUNC_PROTO:
		extra = n * sizeof(struct btf_param);
		break;
	case BTF_KIND_VAR:
		extra = sizeof(struct btf_var);
		break;
	case BTF_KIND_DATASEC:
		extra = n * sizeof(struct btf_var_secinfo);
		break;
	case BTF_KIND_DECL_TAG:
		extra = sizeof(struct btf_decl_tag);
		break;
	default:
		return 0;
	}
	return sizeof(*type) + extra;
}

/* The type behind @type in the blob, or NULL at its end. */
static const struct btf_type *layout_next(const struct layout_btf *btf,
					  const struct btf_type *type)
{
	size_t bytes = type ? layout_type_bytes(type) : 0;
	const void *next = type ? (const void *)type + bytes : btf->types;

	if ((type && !bytes) || next + sizeof(*type) > btf->types_end)
		return NULL;
	type = next;
	bytes = layout_type_bytes(type);
	return bytes && next + bytes <= btf->types_end ? type : NULL;
}

static const struct btf_type *layout_type(const struct layout_btf *btf, u32 id)
{
	const struct btf_type *type = NULL;

	while (btf && id < btf->first_id)
		btf = btf->base;
	if (!btf || !id)
		return NULL;
	for (id -= btf->first_id; ; id--) {
		type = layout_next(btf, type);
		if (!type || !id)
			return type;
	}
}

static const char *layout_string(const struct layout_btf *btf, u32 offset)
{
	while (btf && offset < btf->first_string)
		btf = btf->base;
	if (!btf || offset - btf->first_string >= btf->strings_bytes)
		return "";
	return btf->strings + (offset - btf->first_string);
}

static void layout_free(struct layout_btf *btf)
{
	vfree(btf->data);
	btf->data = NULL;
}

/*
 * All of a file of sysfs, into vmalloc()ed memory. Not kernel_read_file(): that is
 * for what security modules have rules for, and they warn about anything else.
 * Return: its length; -ENOENT no such file; other errors.
 */
static ssize_t layout_read_file(const char *path, void **data)
{
	struct file *file = filp_open(path, O_RDONLY, 0);
	loff_t bytes, at = 0;
	ssize_t n = 0;

	if (IS_ERR(file))
		return PTR_ERR(file);
	bytes = i_size_read(file_inode(file));
	*data = bytes > 0 && bytes < INT_MAX ? vmalloc(bytes) : NULL;
	while (*data && at < bytes) {
		n = kernel_read(file, *data + at, bytes - at, &at);
		if (n <= 0)
			break;
	}
	filp_close(file, NULL);
	if (*data && at == bytes)
		return bytes;
	vfree(*data);
	*data = NULL;
	return n < 0 ? n : -EINVAL;
}

/* Return: 0, -ENOENT no such file, -EINVAL not BTF. */
static int layout_load(struct layout_btf *btf, const char *path,
		       const struct layout_btf *base)
{
	const struct btf_type *type = NULL;
	const struct btf_header *header;
	size_t types, strings;
	ssize_t bytes;

	memset(btf, 0, sizeof(*btf));
	bytes = layout_read_file(path, &btf->data);
	if (bytes < 0)
		return bytes == -ENOENT ? -ENOENT : -EINVAL;

	/* A kernel's blobs may have the shorter header of an older format. */
	header = btf->data;
	if (bytes < offsetofend(struct btf_header, str_len) ||
	    header->magic != BTF_MAGIC ||
	    header->hdr_len < offsetofend(struct btf_header, str_len))
		goto invalid;
	types = (size_t)header->hdr_len + header->type_off;
	strings = (size_t)header->hdr_len + header->str_off;
	if (types + header->type_len > bytes ||
	    strings + header->str_len > bytes || !header->str_len)
		goto invalid;

	btf->base = base;
	btf->types = btf->data + types;
	btf->types_end = btf->types + header->type_len;
	btf->strings = btf->data + strings;
	btf->strings_bytes = header->str_len;
	if (btf->strings[btf->strings_bytes - 1])
		goto invalid;
	btf->first_string = base ? base->first_string + base->strings_bytes : 0;
	btf->first_id = base ? base->end_id : 1;
	btf->end_id = btf->first_id;
	while ((type = layout_next(btf, type)))
		btf->end_id++;
	return 0;

invalid:
	layout_free(btf);
	return -EINVAL;
}

static const struct btf_type *layout_find(const struct layout_btf *btf,
					  const char *name)
{
	const struct btf_type *type = NULL;

	while ((type = layout_next(btf, type)))
		if (BTF_INFO_KIND(type->info) == BTF_KIND_STRUCT &&
		    !strcmp(layout_string(btf, type->name_off), name))
			return type;
	return NULL;
}

/* Number of arguments of the function a member points to, -1 if it does not. */
static int layout_nargs(const struct layout_btf *btf, u32 id)
{
	const struct btf_type *type = layout_type(btf, id);

	if (!type || BTF_INFO_KIND(type->info) != BTF_KIND_PTR)
		return -1;
	type = layout_type(btf, type->type);
	if (!type || BTF_INFO_KIND(type->info) != BTF_KIND_FUNC_PROTO)
		return -1;
	return BTF_INFO_VLEN(type->info);
}

static int layout_compare(const struct layout_btf *btf,
			  const struct btf_type *type)
{
	const struct btf_member *member = (const void *)(type + 1);
	bool bits = BTF_INFO_KFLAG(type->info);
	size_t i;

	if (type->size != sizeof(struct vfio_iommu_driver_ops) ||
	    BTF_INFO_VLEN(type->info) != ARRAY_SIZE(layout_members)) {
		pr_err("not loaded: this kernel's vfio_iommu_driver_ops has %u bytes, the module was built for %zu; build it for this kernel\n",
		       type->size, sizeof(struct vfio_iommu_driver_ops));
		return -ENOEXEC;
	}
	for (i = 0; i < ARRAY_SIZE(layout_members); i++, member++) {
		const struct layout_member *want = &layout_members[i];
		u32 offset = bits ? BTF_MEMBER_BIT_OFFSET(member->offset) :
				    member->offset;

		if (!strcmp(layout_string(btf, member->name_off), want->name) &&
		    offset == want->offset * BITS_PER_BYTE &&
		    layout_nargs(btf, member->type) == want->nargs)
			continue;
		pr_err("not loaded: this kernel's vfio_iommu_driver_ops differs at member %s; build the module for this kernel\n",
		       want->name);
		return -ENOEXEC;
	}
	return 0;
}

int prereg_vfio_layout_check(void)
{
	struct layout_btf vmlinux, vfio = {};
	const struct layout_btf *btf = &vfio;
	const struct btf_type *type;
	int ret;

	ret = layout_load(&vmlinux, "/sys/kernel/btf/vmlinux", NULL);
	if (!ret) {
		ret = layout_load(&vfio, "/sys/kernel/btf/vfio", &vmlinux);
		if (ret == -ENOENT) {
			/* VFIO is built in. */
			btf = &vmlinux;
			ret = 0;
		}
	}
	if (ret == -ENOENT) {
		pr_info("no BTF in this kernel: trusting the check made at build time\n");
		return 0;
	}
	if (!ret) {
		type = layout_find(btf, "vfio_iommu_driver_ops");
		ret = type ? layout_compare(btf, type) : -EINVAL;
	}
	if (ret == -EINVAL) {
		pr_err("not loaded: cannot find vfio_iommu_driver_ops in this kernel's BTF to compare it with what the module was built for\n");
		ret = -ENOEXEC;
	}
	layout_free(&vfio);
	layout_free(&vmlinux);
	return ret;
}
