/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "doctor/store.h"
#include "tests/tap.h"

static struct arena arena;

static void put(struct store *store, const char *path, const char *text)
{
	store_add(store, STORE_FILE, path, text, strlen(text), false);
}

static void test_store_find_whatever_the_order(void)
{
	struct store store;
	char path[32];

	store_init(&store, &arena);
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/a/%d", i * 7919 % 1000);
		put(&store, path, path);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/a/%d", i);
		ASSERT(store_find(&store, path));
		EXPECT_STR(store_find(&store, path)->data, path);
	}
	EXPECT(!store_find(&store, "/a"));
	EXPECT(!store_find(&store, "/a/1000"));
	EXPECT_EQ(store.count, 1000);
}

static void test_store_add_again_replaces(void)
{
	struct store store;

	store_init(&store, &arena);
	for (int i = 0; i < 100; i++)
		put(&store, i % 2 ? "/x" : "/y", i < 98 ? "old" : "new");
	EXPECT_STR(store_text(&store, "/x"), "new");
	EXPECT_STR(store_text(&store, "/y"), "new");
	EXPECT_EQ(store.count, 2);
	/* Growing goes on after the doubles went. */
	for (int i = 0; i < 100; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/z%d", i);
		put(&store, path, "z");
		EXPECT_STR(store_text(&store, "/x"), "new");
	}
	EXPECT_EQ(store.count, 102);
}

static void test_store_text_and_number(void)
{
	struct store store;
	uint64_t number = 5;

	store_init(&store, &arena);
	put(&store, "/text", "  two words \n\n");
	put(&store, "/hex", "0x1f9d\n");
	put(&store, "/decimal", "16\n");
	put(&store, "/negative", "-1\n");
	put(&store, "/huge", "99999999999999999999\n");
	put(&store, "/empty", "");
	store_add(&store, STORE_FILE, "/nul", "a\0b", 3, false);
	store_add_error(&store, "/error", EACCES);
	EXPECT_STR(store_text(&store, "/%s", "text"), "  two words");
	EXPECT_STR(store_text(&store, "/empty"), "");
	EXPECT(!store_text(&store, "/nul"));
	EXPECT(!store_text(&store, "/error"));
	EXPECT(store_number(&store, &number, "/hex") && number == 0x1f9d);
	EXPECT(store_number(&store, &number, "/decimal") && number == 16);
	EXPECT(!store_number(&store, &number, "/negative") && number == 16);
	EXPECT(!store_number(&store, &number, "/huge"));
	EXPECT(!store_number(&store, &number, "/text"));
	EXPECT(!store_number(&store, &number, "/empty"));
	EXPECT_EQ(store_find(&store, "/error")->err, EACCES);
}

static void test_store_link_name_is_its_last_part(void)
{
	struct store store;

	store_init(&store, &arena);
	store_add(&store, STORE_LINK, "/driver", "../../drivers/vfio-pci", 22, false);
	store_add(&store, STORE_LINK, "/bare", "x", 1, false);
	put(&store, "/file", "a/b");
	EXPECT_STR(store_link_name(&store, "/driver"), "vfio-pci");
	EXPECT_STR(store_link_name(&store, "/bare"), "x");
	EXPECT(!store_link_name(&store, "/file"));
	EXPECT(!store_link_name(&store, "/none"));
}

static void test_store_children_once_each(void)
{
	static const char *const is[] = {"a", "a-b", "a.c", "b"};
	struct store store;
	size_t index = 0, count = 0;
	const char *name;

	store_init(&store, &arena);
	put(&store, "/d/a/x", "");
	put(&store, "/d/a-b", "");
	put(&store, "/d/a", "");
	put(&store, "/d/a/y/z", "");
	put(&store, "/d/a.c/q", "");
	put(&store, "/d/b/1/2/3", "");
	put(&store, "/dd/no", "");
	put(&store, "/d", "");
	while ((name = store_children(&store, "/d", &index))) {
		ASSERT(count < 4);
		EXPECT_STR(name, is[count++]);
	}
	EXPECT_EQ(count, 4);
	index = 0;
	EXPECT(!store_children(&store, "/e", &index));
}

static void test_store_odd_bytes_in_paths_stay_apart(void)
{
	struct store store;

	store_init(&store, &arena);
	put(&store, "/a/b", "slash");
	put(&store, "/a\001b", "one");
	put(&store, "/a\002b", "two");
	EXPECT_STR(store_text(&store, "/a/b"), "slash");
	EXPECT_STR(store_text(&store, "/a\001b"), "one");
	EXPECT_STR(store_text(&store, "/a\002b"), "two");
}

int main(void)
{
	RUN(test_store_find_whatever_the_order);
	RUN(test_store_add_again_replaces);
	RUN(test_store_text_and_number);
	RUN(test_store_link_name_is_its_last_part);
	RUN(test_store_children_once_each);
	RUN(test_store_odd_bytes_in_paths_stay_apart);
	arena_free(&arena);
	return tap_done();
}
