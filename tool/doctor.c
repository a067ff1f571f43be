// SPDX-License-Identifier: GPL-2.0
/* prereg doctor: is this host ready, and what to do if not? */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "doctor.h"
#include "json.h"

/* Where the text of an answer begins. */
#define INDENT 20

static const char *const verdicts[] = {
	[VERDICT_OK] = "ok", [VERDICT_NOT_OK] = "not ok", [VERDICT_NOTE] = "note",
};

/* In the order in which one would look: what is first must be right for the rest to be. */
static void (*const checks[])(struct doctor *doctor) = {
	check_iommu, check_groups, check_interrupts, check_vfio, check_vfio_pci,
	check_module, check_types, check_memlock, check_access, check_netlink,
};

struct options {
	bool		json;
	uint64_t	need;
};

static const struct argp_option options[] = {
	{ "json", 'J', NULL, 0, "One JSON object", 0 },
	{ "memory", 'm', "SIZE", 0, "How much a program is to register, as 512M or 16G; 1G if not given", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *chosen = state->input;

	switch (key) {
	case 'J':
		chosen->json = true;
		return 0;
	case 'm':
		if (!size_parse(arg, &chosen->need))
			argp_error(state, "\"%s\" is no size", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void answer(struct doctor *doctor, const char *check, enum verdict verdict, char *found, char *todo)
{
	doctor->answers = grown(doctor->answers, doctor->n + 1, sizeof(*doctor->answers));
	doctor->answers[doctor->n++] = (struct answer){ check, verdict, found, todo };
}

static void print_json(const struct doctor *doctor, bool ready)
{
	json_t *object = json_new_object(), *array = json_new_array(), *line;
	size_t i;

	for (i = 0; i < doctor->n; i++) {
		line = json_new_object();
		json_put_text(line, "check", doctor->answers[i].check);
		json_put_text(line, "status", verdicts[doctor->answers[i].verdict]);
		json_put_text(line, "found", doctor->answers[i].found);
		json_put_text(line, "todo", doctor->answers[i].todo);
		json_append(array, line);
	}
	json_put_bool(object, "ready", ready);
	json_put(object, "checks", array);
	json_print(object, false);
}

/* Columns of the terminal, or of what a person reads well. */
static size_t width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < INDENT + 20)
		return 100;
	return size.ws_col;
}

/* @text in lines that fit, from column INDENT on, where the cursor is; those behind the first begin with @hang blanks. */
static void print_wrapped(const char *text, int hang)
{
	const size_t room = width() - INDENT;
	size_t used = 0, word;

	for (; *text; text += word) {
		if (*text == '\n' || *text == ' ') {
			const size_t next = strcspn(text + 1, " \n") + 1;

			word = 1;
			if (*text == ' ' && used + next <= room) {
				putchar(' ');
				used++;
			} else {
				printf("\n%*s", INDENT + hang, "");
				used = (size_t)hang;
			}
			continue;
		}
		word = strcspn(text, " \n");
		printf("%.*s", (int)word, text);
		used += word;
	}
	putchar('\n');
}

static void print_plain(const struct doctor *doctor, bool ready)
{
	static const char *const colours[] = {
		[VERDICT_OK] = "\033[32m", [VERDICT_NOT_OK] = "\033[31m", [VERDICT_NOTE] = "\033[33m",
	};
	const bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	size_t i;

	for (i = 0; i < doctor->n; i++) {
		const struct answer *a = &doctor->answers[i];

		printf("%s%-6s%s  %-10s  ", colour ? colours[a->verdict] : "", verdicts[a->verdict], colour ? "\033[0m" : "",
		       a->check);
		print_wrapped(a->found, 0);
		if (a->todo) {
			printf("%*s-> ", INDENT, "");
			print_wrapped(a->todo, 3);
		}
	}
	printf("%s\n", ready ? "This host is ready." : "This host is not ready: see each \"not ok\".");
}

int doctor_main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL,
		"Looks whether programs can use vfio_prereg on this host, and says what to do if not. Exit status 1: something is not ok.",
		sys_args, NULL, NULL
	};
	struct options chosen = { .need = 1ull << 30 };
	struct doctor doctor = { 0 };
	bool ready = true;
	size_t i;

	argp_parse(&argp, argc, argv, 0, NULL, &chosen);
	doctor.need = chosen.need;
	for (i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i](&doctor);
	for (i = 0; i < doctor.n; i++)
		ready &= doctor.answers[i].verdict != VERDICT_NOT_OK;
	if (chosen.json)
		print_json(&doctor, ready);
	else
		print_plain(&doctor, ready);
	for (i = 0; i < doctor.n; i++) {
		free(doctor.answers[i].found);
		free(doctor.answers[i].todo);
	}
	free(doctor.answers);
	return ready ? STATUS_OK : STATUS_FAILED;
}
