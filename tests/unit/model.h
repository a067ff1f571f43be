/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module must do, said in the simplest way: an array with an element
 * for every page of IOVA that the test uses, a list of everything else, and the
 * uAPI's rules one after the other.
 */
#ifndef MODEL_H
#define MODEL_H

#include "unit.h"

/* Ranges of IOVA in which the test maps, and their pages one after the other. */
struct model_arena {
	u64		start;
	unsigned int	npages;
	unsigned int	first;	/* number of its first page */
};

#define MODEL_ARENAS		5
#define MODEL_PAGES		(1024 + 128 + 512 + 32 + 64)
#define MODEL_CONTAINERS	3
#define MODEL_PROCESSES		3
#define MODEL_GROUPS		6
#define MODEL_REGISTRATIONS	24
#define MODEL_REGIONS		64
#define MODEL_NOBODY		(-1)

extern const struct model_arena model_arenas[MODEL_ARENAS];
extern struct iommu_group *const model_groups[MODEL_GROUPS];

struct model_range {
	u64	vaddr;
	u64	bytes;
};

/* A page of IOVA. */
struct model_page {
	u64		vaddr;	/* what it maps, or 0 */
	int		prot;
	unsigned long	map;	/* by which MAP */
	bool		cut;	/* a mapping begins here, if the MAP did not */
};

struct model_window {
	u64	start;
	u64	bytes;
	u32	shift;	/* 0: not in use */
};

struct model_container {
	int			owner;
	bool			may_map;
	unsigned int		groups;	/* bitmap, by number in model_groups */
	struct model_window	windows[2];
	unsigned int		nregistrations;
	struct model_range	registrations[MODEL_REGISTRATIONS];
	struct model_page	pages[MODEL_PAGES];
};

/* A process' region: a range that any of its containers registered. */
struct model_region {
	int			process;
	struct model_range	range;
	unsigned int		users;
};

struct model {
	struct mm_struct	*mm[MODEL_PROCESSES];
	struct model_container	containers[MODEL_CONTAINERS];
	unsigned int		nregions;
	struct model_region	regions[MODEL_REGIONS];
	unsigned int		mappings_max;
	unsigned long		maps;	/* MAP calls so far */
};

/* The page's number, or -1. */
int model_page_number(u64 iova);
u64 model_page_iova(unsigned int page);
/* Mappings that the container must have, and what they cost of mappings_max. */
unsigned long model_mappings(const struct model_container *c, u64 *cost);
/* Pages mapped. */
unsigned long model_mapped(const struct model_container *c);
/* Pages charged to a process: those of its regions. */
unsigned long model_charged(const struct model *m, int process);

/*
 * The calls. Each returns what the module must return and, with 0, has changed
 * the model as the module must change.
 */
int model_register(struct model *m, int container, int process,
		   struct model_range range);
int model_unregister(struct model *m, int container, int process,
		     struct model_range range);
int model_map(struct model *m, int container, int process, u64 iova,
	      struct model_range range, int prot);
int model_unmap(struct model *m, int container, int process, u64 iova,
		u64 bytes);
/* Of all entries, or of none: *refused tells which one it was. */
int model_batch_map(struct model *m, int container, int process,
		    const struct vfio_prereg_batch_entry *entries, u32 n,
		    u32 *refused);
int model_batch_unmap(struct model *m, int container, int process,
		      const struct vfio_prereg_batch_entry *entries, u32 n,
		      u32 *refused);
int model_create(struct model *m, int container, int process, u32 shift,
		 u64 bytes, u64 *start);
int model_remove(struct model *m, int container, int process, u64 start);
int model_attach(struct model *m, int container, int group);
void model_detach(struct model *m, int container, int group);
void model_open(struct model *m, int container);
void model_close(struct model *m, int container);
void model_exit(struct model *m, int process);

#endif
