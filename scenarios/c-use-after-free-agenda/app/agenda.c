/*
 * Runs a script over an agenda of tasks, a command a line:
 *
 *   add NAME            a new task
 *   after NAME OTHER    NAME waits for OTHER
 *   open NAME           the task that notes go to
 *   note TEXT           adds a line to the note of the open task
 *   pin NAME            shows the note of a task above the list
 *   done NAME           takes a task off the agenda
 *   list                prints the agenda, in the order in which tasks were added
 *
 * Blank lines, and lines that begin with #, are skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 512 };

struct task {
	struct task *next;
	struct task *waits_for;
	char *name;
	char *note;
	size_t note_length;
};

struct agenda {
	struct task *first;
	struct task *open;
	const char *pinned;
	unsigned line;
};

static void fail(const struct agenda *a, const char *why)
{
	fprintf(stderr, "agenda: line %u: %s\n", a->line, why);
	exit(2);
}

static void *checked(const struct agenda *a, void *p)
{
	if (!p)
		fail(a, "out of memory");
	return p;
}

static struct task *find(const struct agenda *a, const char *name)
{
	for (struct task *t = a->first; t; t = t->next)
		if (strcmp(t->name, name) == 0)
			return t;
	fail(a, "no such task");
	return NULL;
}

static void add(struct agenda *a, const char *name)
{
	struct task **end = &a->first;
	struct task *t;

	if (!*name)
		fail(a, "a task needs a name");
	for (; *end; end = &(*end)->next)
		if (strcmp((*end)->name, name) == 0)
			fail(a, "there is such a task");
	t = checked(a, calloc(1, sizeof *t));
	t->name = checked(a, strdup(name));
	*end = t;
}

static void note(struct agenda *a, const char *text)
{
	struct task *t = a->open;
	size_t length = strlen(text);

	if (!t)
		fail(a, "no task is open");
	t->note = checked(a, realloc(t->note, t->note_length + length + 2));
	memcpy(t->note + t->note_length, text, length);
	memcpy(t->note + t->note_length + length, "\n", 2);
	t->note_length += length + 1;
}

static void pin(struct agenda *a, const char *name)
{
	a->pinned = find(a, name)->note;
}

static void done(struct agenda *a, const char *name)
{
	struct task *t = find(a, name);
	struct task **link = &a->first;

	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	free(t->name);
	free(t->note);
	free(t);
}

static void print_task(const struct task *t)
{
	printf("- %s", t->name);
	if (t->waits_for)
		printf(" (after %s)", t->waits_for->name);
	putchar('\n');
	if (t->note)
		printf("%s", t->note);
}

static void list(const struct agenda *a)
{
	if (a->pinned)
		printf("! %s", a->pinned);
	for (const struct task *t = a->first; t; t = t->next)
		print_task(t);
	puts("--");
}

/* Cuts the first word off a text and returns the rest. */
static char *cut(char *text)
{
	char *blank = strchr(text, ' ');

	if (!blank)
		return text + strlen(text);
	*blank = 0;
	return blank + 1;
}

static void run(struct agenda *a, char *command)
{
	char *rest = cut(command);

	if (strcmp(command, "add") == 0) {
		add(a, rest);
	} else if (strcmp(command, "after") == 0) {
		struct task *other = find(a, cut(rest));

		find(a, rest)->waits_for = other;
	} else if (strcmp(command, "open") == 0) {
		a->open = find(a, rest);
	} else if (strcmp(command, "note") == 0) {
		note(a, rest);
	} else if (strcmp(command, "pin") == 0) {
		pin(a, rest);
	} else if (strcmp(command, "done") == 0) {
		done(a, rest);
	} else if (strcmp(command, "list") == 0) {
		list(a);
	} else {
		fail(a, "no such command");
	}
}

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
	struct agenda a = {0};
	char line[MAX_LINE];

	if (!f) {
		fprintf(stderr, "usage: agenda SCRIPT\n");
		return 2;
	}
	while (fgets(line, sizeof line, f)) {
		a.line++;
		line[strcspn(line, "\n")] = 0;
		if (*line && *line != '#')
			run(&a, line);
	}
	fclose(f);
	while (a.first)
		done(&a, a.first->name);
	return 0;
}
