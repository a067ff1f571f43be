// SPDX-License-Identifier: GPL-2.0
/* One range of memory, two containers of the same process; one container, two devices. */
#include "conformance.h"
#include "meter.h"

#define REGION_BYTES (REGION_PAGES * page())

/* A container with nothing in it, and a second one. */
static bool two_open(struct box *box, struct rig *second)
{
	return box_open_bare(box) && rig_open(second, VFIO_EDU1);
}

static void run_two(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!two_open(&box, &second))
		return;
	say_ret(spapr_register(box.fd, box.mem, REGION_BYTES));
	say_ret(spapr_register(second.container, box.mem, REGION_BYTES));
	say("%lld pages pinned", pins(REGION_PAGES));
	say("%lld charged", charge());
	say_ret(spapr_unregister(box.fd, box.mem, REGION_BYTES));
	say("%lld", charge());
	say_ret(spapr_unregister(second.container, box.mem, REGION_BYTES));
	say("%lld", pins(0));
	rig_close(&second);
	box_close(&box);
}

static void run_two_overlap(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!two_open(&box, &second))
		return;
	say_ret(spapr_register(box.fd, box.mem, REGION_BYTES));
	say_ret(spapr_register(second.container, box.mem, page()));
	rig_close(&second);
	box_close(&box);
}

static void run_mapped_there(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!two_open(&box, &second))
		return;
	tap_expect_ret(spapr_register(box.fd, box.mem, REGION_BYTES), 0, "REGISTER");
	tap_expect_ret(vfio_hold(second.container, TYPE7, box.mem, REGION_BYTES, IOVA), 0, "REGISTER and MAP in the second");
	say_ret(spapr_unregister(box.fd, box.mem, REGION_BYTES));
	say("%s", edu_reaches(&second.edu, IOVA, box.mem, 64, fresh_seed()) ? "reached" : "not reached");
	rig_close(&second);
	box_close(&box);
}

static void run_mapped_here(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!two_open(&box, &second))
		return;
	tap_expect_ret(vfio_hold(box.fd, TYPE7, box.mem, REGION_BYTES, IOVA), 0, "REGISTER and MAP");
	tap_expect_ret(spapr_register(second.container, box.mem, REGION_BYTES), 0, "REGISTER in the second");
	say_ret(spapr_unregister(box.fd, box.mem, REGION_BYTES));
	say_reach(&box, IOVA, box.mem);
	rig_close(&second);
	box_close(&box);
}

/* One container maps what only the other one registered. */
static void run_borrowed(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!two_open(&box, &second))
		return;
	tap_expect_ret(spapr_register(box.fd, box.mem, REGION_BYTES), 0, "REGISTER");
	tap_expect_ret(spapr_register(second.container, box.spare, page()), 0, "REGISTER of other memory in the second");
	say_ret(vfio_map(second.container, IOVA, box.mem, page(), MAP_RW));
	rig_close(&second);
	box_close(&box);
}

static void run_close_one(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!two_open(&box, &second))
		return;
	tap_expect_ret(vfio_hold(box.fd, TYPE7, box.mem, REGION_BYTES, IOVA), 0, "REGISTER and MAP");
	tap_expect_ret(vfio_hold(second.container, TYPE7, box.mem, REGION_BYTES, IOVA), 0, "the same in the second");
	rig_close(&second);
	say("%lld pages pinned", pins(REGION_PAGES));
	say_reach(&box, IOVA, box.mem);
	box_close(&box);
	say("%lld pinned", pins(0));
}

static void run_join(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!box_open(&box) || !rig_join(&second, VFIO_EDU1, box.fd))
		return;
	say("%s", edu_reaches(&second.edu, IOVA, box.mem, 64, fresh_seed()) ? "reached" : "not reached");
	tap_expect_ret(vfio_unmap(box.fd, IOVA, page()), 0, "UNMAP");
	say("%s", edu_reaches(&second.edu, IOVA, box.mem, 64, fresh_seed()) ? "reached" : "not reached");
	rig_close(&second);
	say_reach(&box, IOVA + page(), box.mem + page());
	box_close(&box);
}

static const struct scenario share[] = {
	{ .name = "two-containers", .what = "REGISTER of 16 pages in A and B: pins, charge; UNREGISTER in A: charge; in B: pins",
	  .run = run_two, .upstream = "0, 0, 16 pages pinned, 16 charged, 0, 16, 0, 0" },
	{ .name = "two-containers-overlap", .what = "REGISTER in A; a part of it in B", .run = run_two_overlap, .upstream = "0, EINVAL" },
	{ .name = "two-containers-mapped-there", .what = "UNREGISTER in A of what is mapped in B; the device in B",
	  .run = run_mapped_there, .upstream = "0, reached" },
	{ .name = "two-containers-mapped-here", .what = "UNREGISTER in A of what is mapped in A, and registered in B; the device in A",
	  .run = run_mapped_here, .spoils = true, .upstream = "0, reached; 16 pages stay pinned; the kernel warns",
	  .ours = "EBUSY, reached", .verdict = FIXED,
	  .why = "A's device goes on using memory that A has given back, and the pins leak for ever" },
	{ .name = "two-containers-borrow", .what = "MAP in B of what only A registered", .run = run_borrowed, .upstream = "0",
	  .ours = "EINVAL", .verdict = FIXED, .why = "A's UNREGISTER would leave memory in use that nobody has registered" },
	{ .name = "two-containers-close", .what = "mapped in A and B; B is closed: pins, the device in A; A is closed: pins",
	  .run = run_close_one, .upstream = "16 pages pinned, reached, 0 pinned" },
	{ .name = "second-device", .what = "a second device joins: its DMA; after an UNMAP; after it left, the first one's",
	  .run = run_join, .upstream = "reached, not reached, not reached", .ours = "reached, not reached, reached", .verdict = FIXED,
	  .why = "a device that leaves takes all mappings of the container with it" },
};

const struct scenario_group group_share = { "Sharing", share, COUNT(share) };
