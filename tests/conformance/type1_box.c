// SPDX-License-Identifier: GPL-2.0
#include "meter.h"
#include "type1_box.h"

struct held held_now(void)
{
	return (struct held){ .pins = rig_pins(), .charge = charge() };
}

void say_change(const struct held *before)
{
	const struct held now = held_now();

	if (now.pins != before->pins)
		say("%+lld pinned", now.pins - before->pins);
	if (now.charge != before->charge)
		say("%+lld charged", now.charge - before->charge);
}

void run_type1_call(const struct scenario *s)
{
	struct held before;
	struct box box;

	if (!box_open(&box))
		return;
	before = held_now();
	if (s->call.nr == CALL_UNMAP)
		say_unmap(&box, s->call.iova, s->call.pages * page() + s->call.bytes, s->call.flags);
	else
		say_ret(box_call(&box, &s->call));
	say_change(&before);
	box_close(&box);
}

int say_map(struct box *box, const void *va, size_t bytes, unsigned int flags)
{
	const struct held before = held_now();
	int ret = vfio_map(box->fd, IOVA2, va, bytes, flags);

	say_ret(ret);
	say_change(&before);
	return ret;
}

void say_unmap(struct box *box, uint64_t iova, uint64_t bytes, unsigned int flags)
{
	uint64_t unmapped;
	int ret = type1_unmap(box->fd, iova, bytes, flags, &unmapped);

	say_ret(ret);
	if (!ret)
		say("%llu pages", (unsigned long long)unmapped / page());
}

const struct vfio_iommu_type1_info_cap_iova_range *iova_ranges(struct box *box)
{
	static union type1_info info;
	const struct vfio_iommu_type1_info_cap_iova_range *ranges = NULL;

	if (tap_expect_ret(type1_get_info(box->fd, &info), 0, "GET_INFO"))
		ranges = type1_info_cap(&info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	tap_expect(ranges, "GET_INFO tells the IOVA ranges");
	return ranges;
}
