// SPDX-License-Identifier: GPL-2.0
/* Malformed requests to the netlink family: what it answers, in numbers and in words. */
#define _GNU_SOURCE
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "../../include/uapi/linux/vfio_prereg_netlink.h"
#include "library.h"
#include "meter.h"
#include "rng.h"

long fuzz_rounds = 20000;

/* A socket, and the family's number. */
struct wire {
	struct mnl_socket	*nl;
	uint16_t		family;
	uint32_t		seq;
	char			words[256];	/* the kernel's, of the last error */
	bool			explained;	/* it said something about it, in words or not */
	char			answer[65536] __attribute__((aligned(8)));
};

union request {
	struct nlmsghdr		head;
	char			bytes[4096];
};

static struct nlmsghdr *begin(struct wire *wire, union request *request, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *nlh;
	struct genlmsghdr *genl;

	memset(request, 0, sizeof(*request));
	nlh = mnl_nlmsg_put_header(request);
	nlh->nlmsg_type = wire->family;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = command;
	genl->version = 1;
	return nlh;
}

static void hear(struct wire *wire, const struct nlmsghdr *nlh, size_t offset)
{
	const struct nlattr *attr;

	wire->explained = nlh->nlmsg_flags & NLM_F_ACK_TLVS;
	if (wire->explained)
		mnl_attr_for_each(attr, nlh, offset)
			if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
				snprintf(wire->words, sizeof(wire->words), "%s", mnl_attr_get_str(attr));
}

/* Reads until the request @seq is answered; what errors others had goes to @others. The errno, -ETIMEDOUT if nothing came. */
static int answer(struct wire *wire, uint32_t seq, void (*others)(int error))
{
	const struct nlmsghdr *nlh;
	int left, error;

	for (;;) {
		ssize_t got = mnl_socket_recvfrom(wire->nl, wire->answer, sizeof(wire->answer));

		if (got < 0)
			return -ETIMEDOUT;
		left = got;
		for (nlh = (void *)wire->answer; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

				error = -err->error;
				if (nlh->nlmsg_seq == seq)
					hear(wire, nlh, sizeof(*err));
			} else if (nlh->nlmsg_type == NLMSG_DONE) {
				error = -*(int *)mnl_nlmsg_get_payload(nlh);
				if (nlh->nlmsg_seq == seq)
					hear(wire, nlh, sizeof(int));
			} else {
				/* Also the header is what the family has. */
				if (nlh->nlmsg_type == wire->family && mnl_nlmsg_get_payload_len(nlh) < sizeof(struct genlmsghdr))
					return EBADMSG;
				continue;
			}
			if (nlh->nlmsg_seq == seq)
				return error;
			if (others)
				others(error);
		}
	}
}

static int ask(struct wire *wire, struct nlmsghdr *nlh)
{
	wire->words[0] = 0;
	nlh->nlmsg_seq = ++wire->seq;
	if (mnl_socket_sendto(wire->nl, nlh, nlh->nlmsg_len) < 0)
		return errno;
	return answer(wire, nlh->nlmsg_seq, NULL);
}

/* Asks nlctrl for the family's number. */
static bool wire_open(struct wire *wire)
{
	const struct timeval patience = { .tv_sec = proc_limit_ms(10000) / 1000 };
	const struct nlattr *attr;
	union request request;
	struct nlmsghdr *nlh;
	int one = 1;

	memset(wire, 0, sizeof(*wire));
	wire->nl = mnl_socket_open(NETLINK_GENERIC);
	if (!tap_expect(wire->nl && !mnl_socket_bind(wire->nl, 0, MNL_SOCKET_AUTOPID), "a socket"))
		return false;
	setsockopt(mnl_socket_get_fd(wire->nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	mnl_socket_setsockopt(wire->nl, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(wire->nl, NETLINK_CAP_ACK, &one, sizeof(one));
	wire->family = GENL_ID_CTRL;
	nlh = begin(wire, &request, CTRL_CMD_GETFAMILY, 0);
	nlh->nlmsg_flags = NLM_F_REQUEST;
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, PREREG_FAMILY_NAME);
	mnl_socket_sendto(wire->nl, nlh, nlh->nlmsg_len);
	if (mnl_socket_recvfrom(wire->nl, wire->answer, sizeof(wire->answer)) < 0)
		return tap_expect(false, "nlctrl does not answer");
	mnl_attr_for_each(attr, (struct nlmsghdr *)wire->answer, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			wire->family = mnl_attr_get_u16(attr);
	return tap_expect(wire->family != GENL_ID_CTRL, "the family's number");
}

/* The request is refused with @error and these words in the kernel's. */
static void malformed(struct wire *wire, struct nlmsghdr *nlh, int error, const char *words, const char *what)
{
	if (tap_expect_ret(-ask(wire, nlh), -error, "%s", what))
		tap_expect(strstr(wire->words, words), "%s: the kernel says \"%s\", not \"%s\"", what, wire->words, words);
}

static struct nlmsghdr *regions_of(struct wire *wire, union request *request, uint64_t owner)
{
	struct nlmsghdr *nlh = begin(wire, request, PREREG_CMD_REGION_GET, NLM_F_DUMP);

	mnl_attr_put_u64(nlh, PREREG_A_REGION_OWNER_ID, owner);
	return nlh;
}

/*
 * Does the kernel let a family explain why a dump cannot begin? Linux 6.1 does not. It is asked by a dump of its own
 * where it points at an attribute.
 */
static bool starts_are_explained(struct wire *wire)
{
	union request request;
	struct nlmsghdr *nlh = begin(wire, &request, CTRL_CMD_GETPOLICY, NLM_F_DUMP);

	nlh->nlmsg_type = GENL_ID_CTRL;
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, "nlctrl");
	mnl_attr_put_u32(nlh, CTRL_ATTR_OP, 200);
	tap_expect(ask(wire, nlh), "a policy that there is not");
	tap_diag("why a dump cannot begin is %sexplained by this kernel", wire->explained ? "" : "not ");
	return wire->explained;
}

static struct nlattr *first_attribute(struct nlmsghdr *nlh)
{
	return mnl_nlmsg_get_payload_offset(nlh, sizeof(struct genlmsghdr));
}

/* Commands that are not there, not so, or not asked for so. */
static void bad_commands(struct wire *wire)
{
	static const struct {
		uint8_t		command;
		uint16_t	flags;
		const char	*what;
	} bad[] = {
		{ 0, 0, "command 0" },
		{ PREREG_CMD_OWNER_GET, 0, "one owner" },
		{ PREREG_CMD_REGION_GET, 0, "one region" },
		{ PREREG_CMD_CONTAINER_GET, 0, "one container" },
		{ PREREG_CMD_COUNTERS_GET, NLM_F_DUMP, "a dump of counters" },
		{ PREREG_CMD_REGISTERED_NTF, 0, "a notification as a request" },
		{ PREREG_CMD_REGION_PUT_NTF, NLM_F_DUMP, "a dump of a notification" },
		{ 255, 0, "command 255" },
	};
	union request request;
	size_t i;

	for (i = 0; i < SUITE_SIZE(bad); i++)
		malformed(wire, begin(wire, &request, bad[i].command, bad[i].flags), EOPNOTSUPP, "", bad[i].what);
}

void test_malformed(void)
{
	const uint8_t commands[] = { PREREG_CMD_OWNER_GET, PREREG_CMD_CONTAINER_GET };
	static const char long_one[1000];
	struct genlmsghdr *genl;
	union request request;
	struct nlmsghdr *nlh;
	struct wire wire;
	bool explained;
	size_t i;

	if (!wire_open(&wire))
		return;
	tap_step("what is well formed");
	tap_expect_ret(-ask(&wire, begin(&wire, &request, PREREG_CMD_OWNER_GET, NLM_F_DUMP)), 0, "owners");
	tap_expect_ret(-ask(&wire, begin(&wire, &request, PREREG_CMD_CONTAINER_GET, NLM_F_DUMP)), 0, "containers");
	tap_expect_ret(-ask(&wire, begin(&wire, &request, PREREG_CMD_COUNTERS_GET, 0)), 0, "counters");
	tap_step("commands");
	bad_commands(&wire);
	tap_step("headers");
	nlh = begin(&wire, &request, PREREG_CMD_OWNER_GET, NLM_F_DUMP);
	nlh->nlmsg_len -= 2;
	malformed(&wire, nlh, EINVAL, "", "half a header");
	nlh = begin(&wire, &request, PREREG_CMD_COUNTERS_GET, 0);
	genl = mnl_nlmsg_get_payload(nlh);
	genl->reserved = 1;
	malformed(&wire, nlh, EINVAL, "", "a reserved field");
	tap_step("attributes of requests that have none");
	for (i = 0; i < SUITE_SIZE(commands); i++) {
		nlh = begin(&wire, &request, commands[i], NLM_F_DUMP);
		mnl_attr_put_u64(nlh, 1, 1);
		malformed(&wire, nlh, EINVAL, "ttribute", "attribute 1");
		nlh = begin(&wire, &request, commands[i], NLM_F_DUMP);
		mnl_attr_put_u32(nlh, 77, 1);
		malformed(&wire, nlh, EINVAL, "nknown attribute", "attribute 77");
	}
	nlh = begin(&wire, &request, PREREG_CMD_COUNTERS_GET, 0);
	mnl_attr_put_u32(nlh, 1, 1);
	malformed(&wire, nlh, EINVAL, "ttribute", "counters with an attribute");
	tap_step("an owner's number that is none");
	explained = starts_are_explained(&wire);
	malformed(&wire, begin(&wire, &request, PREREG_CMD_REGION_GET, NLM_F_DUMP), EINVAL,
		  explained ? "owner-id is missing" : "", "no number");
	malformed(&wire, regions_of(&wire, &request, UINT64_MAX), ENOENT, explained ? "no owner with this id" : "", "nobody's");
	malformed(&wire, regions_of(&wire, &request, 0), ENOENT, explained ? "no owner with this id" : "", "0");
	nlh = begin(&wire, &request, PREREG_CMD_REGION_GET, NLM_F_DUMP);
	mnl_attr_put_u32(nlh, PREREG_A_REGION_OWNER_ID, 1);
	malformed(&wire, nlh, EINVAL, "invalid attribute length", "4 bytes");
	nlh = begin(&wire, &request, PREREG_CMD_REGION_GET, NLM_F_DUMP);
	mnl_attr_put(nlh, PREREG_A_REGION_OWNER_ID, sizeof(long_one), long_one);
	malformed(&wire, nlh, EINVAL, "invalid attribute length", "1000 bytes");
	nlh = regions_of(&wire, &request, 1);
	first_attribute(nlh)->nla_type |= NLA_F_NESTED;
	malformed(&wire, nlh, EINVAL, "NLA_F_NESTED", "a nest");
	nlh = regions_of(&wire, &request, 1);
	first_attribute(nlh)->nla_len = 2000;
	malformed(&wire, nlh, EINVAL, "leftover", "longer than the message");
	nlh = regions_of(&wire, &request, 1);
	first_attribute(nlh)->nla_len = 1;
	malformed(&wire, nlh, EINVAL, "leftover", "shorter than its head");
	nlh = regions_of(&wire, &request, 1);
	mnl_attr_put_u32(nlh, PREREG_A_REGION_FLAGS, 1);
	malformed(&wire, nlh, EINVAL, "nknown attribute", "a filter that there is not");
	tap_step("all is well after that");
	tap_expect_ret(-ask(&wire, begin(&wire, &request, PREREG_CMD_OWNER_GET, NLM_F_DUMP)), 0, "owners");
	mnl_socket_close(wire.nl);
}

static void judge(int error)
{
	static const int good[] = { 0, EINVAL, ENOENT, EOPNOTSUPP, ERANGE, EBUSY };
	size_t i;

	for (i = 0; i < SUITE_SIZE(good); i++)
		if (error == good[i])
			return;
	tap_expect(false, "a malformed request was answered %s", tap_ret_name(-error));
}

/* Some attributes, mostly wrong. */
static void add_noise(struct nlmsghdr *nlh, struct rng *rng)
{
	unsigned int n = rng_below(rng, 5);
	uint64_t noise[8];
	size_t i;

	while (n--) {
		struct nlattr *attr = mnl_nlmsg_get_payload_tail(nlh);
		const uint16_t type = rng_below(rng, 4) ? rng_below(rng, 20) : rng_next(rng);

		for (i = 0; i < SUITE_SIZE(noise); i++)
			noise[i] = rng_below(rng, 2) ? rng_next(rng) : rng_below(rng, 40);
		mnl_attr_put(nlh, type, rng_below(rng, 2) ? 8 : rng_below(rng, sizeof(noise)), noise);
		if (!rng_below(rng, 8))
			attr->nla_len = rng_next(rng);
	}
}

static void send_noise(struct wire *wire, struct rng *rng)
{
	union request request;
	struct nlmsghdr *nlh;
	struct genlmsghdr *genl;

	nlh = begin(wire, &request, rng_below(rng, 8) ? rng_below(rng, PREREG_CMD_MAX + 2) : rng_next(rng),
		    rng_below(rng, 2) ? NLM_F_DUMP : rng_next(rng) & 0xff00);
	if (!rng_below(rng, 8)) {
		genl = mnl_nlmsg_get_payload(nlh);
		genl->version = rng_next(rng);
		genl->reserved = rng_next(rng);
	}
	if (!rng_below(rng, 16))
		nlh->nlmsg_flags = rng_next(rng);
	add_noise(nlh, rng);
	/* A part of it. */
	if (!rng_below(rng, 8))
		nlh->nlmsg_len = sizeof(*nlh) + rng_below(rng, nlh->nlmsg_len - sizeof(*nlh) + 1);
	nlh->nlmsg_seq = ++wire->seq;
	mnl_socket_sendto(wire->nl, nlh, nlh->nlmsg_len);
}

/* What there is changes all the time. */
static int churn(int sock, void *arg)
{
	const struct box *box = arg;
	char *p = mem_alloc(64 * PAGE, MEM_SMALL);
	size_t i = 0;

	/* Until it is killed. */
	while (sock >= 0) {
		i = (i + 13) % 64;
		if (prereg_register(box->prereg, p + i * PAGE, PAGE))
			prereg_unregister(box->prereg, p + i * PAGE, PAGE);
	}
	return 0;
}

void test_fuzz(void)
{
	struct rng rng = rng_stream(8, 1);
	struct wire wire;
	struct proc owner;
	struct box box;
	long i;

	if (!wire_open(&wire) || !box_open(&box, 0) || !tap_expect_ret(proc_start(&owner, churn, &box), 0, "an owner"))
		return;
	for (i = 0; i < fuzz_rounds && !tap_failures(); i++) {
		union request request;
		struct nlmsghdr *nlh;
		int error;

		send_noise(&wire, &rng);
		/* Noise may have no answer; this has one. */
		nlh = begin(&wire, &request, PREREG_CMD_COUNTERS_GET, 0);
		nlh->nlmsg_seq = ++wire.seq;
		mnl_socket_sendto(wire.nl, nlh, nlh->nlmsg_len);
		error = answer(&wire, nlh->nlmsg_seq, judge);
		tap_expect_ret(-error, 0, "counters, after message %ld", i);
	}
	tap_diag("%ld messages", i);
	proc_kill(&owner);
	mnl_socket_close(wire.nl);
	box_close(&box);
}
