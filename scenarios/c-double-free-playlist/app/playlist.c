/*
 * Keeps playlists and prints them, as a script tells: playlist SCRIPT. A line of the script is a command:
 *
 *   list NAME          a new list, which becomes the current one
 *   use NAME           makes a list the current one
 *   add TITLE          appends a song to the current list
 *   drop TITLE         removes a song from the current list
 *   share NAME         puts the current list's songs at the end of a list, which may be the same
 *   rename TITLE=NEW   gives a song of the current list another title
 *   unique             removes the songs of the current list that it has already had
 *   delete NAME        deletes a list
 *   undo               brings back what was dropped last, at the end of the current list
 *   show               prints all lists
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	char *title;
	struct entry *next;
};

struct list {
	char *name;
	struct entry *first;
	struct list *next;
};

static struct list *lists, *current;
static char *dropped;
static unsigned line_number;

static void fail(const char *why)
{
	fprintf(stderr, "playlist: line %u: %s\n", line_number, why);
	exit(2);
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		fail("out of memory");
	return p;
}

static char *copy(const char *text)
{
	char *p = allocate(strlen(text) + 1);

	return strcpy(p, text);
}

static struct list *find(const char *name)
{
	for (struct list *l = lists; l; l = l->next)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}

static struct list *existing(const char *name)
{
	struct list *l = find(name);

	if (!l)
		fail("no such list");
	return l;
}

static struct list *opened(void)
{
	if (!current)
		fail("no list is in use");
	return current;
}

/* The link that leads to a song, or to the end where there is none of this title. */
static struct entry **place(struct list *l, const char *title)
{
	struct entry **at = &l->first;

	while (*at && !(title && strcmp((*at)->title, title) == 0))
		at = &(*at)->next;
	return at;
}

static void append(struct list *l, char *title)
{
	struct entry *e = allocate(sizeof *e);

	e->title = title;
	*place(l, NULL) = e;
}

static void add_list(const char *name)
{
	struct list **end = &lists, *l;

	if (find(name))
		fail("there is such a list");
	while (*end)
		end = &(*end)->next;
	l = allocate(sizeof *l);
	l->name = copy(name);
	current = *end = l;
}

static void drop(struct list *l, const char *title)
{
	struct entry **at = place(l, title), *e = *at;

	if (!e)
		fail("no such song");
	free(dropped);
	dropped = e->title;
	*at = e->next;
	free(e);
}

static void undo(struct list *l)
{
	if (!dropped)
		fail("nothing was dropped");
	append(l, dropped);
}

static void share(struct list *from, struct list *to)
{
	struct entry **end = place(to, NULL), *stop = NULL;

	for (struct entry *e = from->first; e && e != stop; e = e->next) {
		append(to, e->title);
		if (!stop)
			stop = *end;
	}
}

static void rename_song(struct list *l, char *names)
{
	char *new = strchr(names, '=');
	struct entry *e;

	if (!new || !new[1])
		fail("rename TITLE=NEW");
	*new++ = 0;
	e = *place(l, names);
	if (!e)
		fail("no such song");
	free(e->title);
	e->title = copy(new);
}

static void unique(struct list *l)
{
	for (struct entry *e = l->first; e; e = e->next)
		for (struct entry **at = &e->next; *at;) {
			struct entry *other = *at;

			if (strcmp(e->title, other->title) != 0) {
				at = &other->next;
				continue;
			}
			*at = other->next;
			free(other->title);
			free(other);
		}
}

static void delete_list(struct list *l)
{
	struct list **at = &lists;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	while (l->first) {
		struct entry *e = l->first;

		l->first = e->next;
		free(e->title);
		free(e);
	}
	if (current == l)
		current = NULL;
	free(l->name);
	free(l);
}

static void show(void)
{
	for (struct list *l = lists; l; l = l->next) {
		printf("%s%s:", l == current ? "> " : "", l->name);
		for (struct entry *e = l->first; e; e = e->next)
			printf("%s%s", e == l->first ? " " : ", ", e->title);
		putchar('\n');
	}
	printf("--\n");
}

static void obey(char *line)
{
	char *rest = strchr(line, ' ');

	if (rest)
		*rest++ = 0;
	else
		rest = line + strlen(line);
	if (strcmp(line, "undo") == 0)
		undo(opened());
	else if (strcmp(line, "unique") == 0)
		unique(opened());
	else if (strcmp(line, "show") == 0)
		show();
	else if (!*rest)
		fail("a name is missing");
	else if (strcmp(line, "list") == 0)
		add_list(rest);
	else if (strcmp(line, "use") == 0)
		current = existing(rest);
	else if (strcmp(line, "add") == 0)
		append(opened(), copy(rest));
	else if (strcmp(line, "drop") == 0)
		drop(opened(), rest);
	else if (strcmp(line, "share") == 0)
		share(opened(), existing(rest));
	else if (strcmp(line, "rename") == 0)
		rename_song(opened(), rest);
	else if (strcmp(line, "delete") == 0)
		delete_list(existing(rest));
	else
		fail("no such command");
}

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[256];

	if (!f) {
		fprintf(stderr, "usage: playlist SCRIPT\n");
		return 2;
	}
	while (fgets(line, sizeof line, f)) {
		line_number++;
		line[strcspn(line, "\r\n")] = 0;
		if (*line)
			obey(line);
	}
	fclose(f);
	return 0;
}
