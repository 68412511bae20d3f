/* SPDX-License-Identifier: MIT */
/*
 * The checker against the card's own writer of records: random histories that are legal by a model
 * of their own, and the same with one crime in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "card/record.h"
#include "lab/isolation.h"
#include "tests/tap.h"

#define PAGE 4096ull
#define PAGES 64u
#define BASE 0xffff0000ull /* across 4 GiB */
#define SENT_NR 8u
#define HISTORIES 300
#define STEPS 200

static char path[] = "/tmp/tethys-isolation-XXXXXX";
static struct lab_isolation result;
static struct reason why;

static int check(void)
{
	memset(&result, 0x55, sizeof(result));
	why.text[0] = '\0';
	return lab_isolation_check(path, &result, &why);
}

static void put_text(const char *text, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	EXPECT_EQ(write(fd, text, bytes), bytes);
	close(fd);
}

/* A record of these lines, behind the header. */
static int check_text(const char *text)
{
	char all[1024];
	int len = snprintf(all, sizeof(all), CARD_RECORD_HEADER "\n%s", text);

	put_text(all, (size_t)len);
	return check();
}

/* --- single lines --- */

static void test_isolation_record_without_events_has_no_violations(void)
{
	struct card_record *record;

	ASSERT_EQ(card_record_create(path, &record, &why), 0);
	EXPECT_EQ(card_record_destroy(record), 0);
	ASSERT_EQ(check(), 0);
	EXPECT_EQ(result.violations + result.accesses + result.maps + result.owners, 0);
	EXPECT_STR(result.first, "");
}

static void test_isolation_what_is_no_record_is_refused(void)
{
	put_text("", 0);
	EXPECT_EQ(check(), -EPROTO);
	put_text("owner\n", 6);
	EXPECT_EQ(check(), -EPROTO);
	EXPECT_HAS(why.text, "line 1");
	put_text(CARD_RECORD_HEADER, strlen(CARD_RECORD_HEADER)); /* torn */
	EXPECT_EQ(check(), -EPROTO);
	EXPECT_EQ(lab_isolation_check("/tmp/tethys-there-is-no-such-file", &result, &why), -ENOENT);
	EXPECT_EQ(lab_isolation_check("/tmp", &result, &why), -EIO);
}

#define A "0x0000000000001000"
#define MAP "owner\nmap " A " 4096 rw direct\n"

static void test_isolation_nonsense_is_found_with_its_line(void)
{
	static const char *const bad[] = {
		"frob\n",
		"\n",
		" owner\n",
		"owner \n",
		"owner 1\n",
		"left\n",
		"owner\nowner\n",
		"map " A " 4096 rw direct\n",
		"unmap all\n",
		"owner\nunmap\n",
		"owner\nunmap everything\n",
		"owner\nunmap all all\n",
		"owner\nunmap " A " 0\n",
		"owner\nmap " A " 4096 rw\n",
		"owner\nmap " A " 4096 rx direct\n",
		"owner\nmap " A " 4096 r direct\n",
		"owner\nmap " A " 4096 rw none\n",
		"owner\nmap 0x1000 4096 rw direct\n",
		"owner\nmap 4096 4096 rw direct\n",
		"owner\nmap 0xffffffffffffffff 2 rw direct\n",
		"owner\nmap " A " -1 rw direct\n",
		MAP "read " A " 1 0\n",
		MAP "read " A " 1 0 direct 5\n",
		MAP "read " A " 1 0 none\n",
		MAP "read " A " 1 ? direct\n",
		MAP "read " A " 1 1 direct\n",
		MAP "read " A " 1 -0 direct\n",
		MAP "read " A " 1 -5000 direct\n",
		MAP "read " A " 0 0 direct\n",
		MAP "read " A " 1 0 message\n",
		MAP "read " A " 1 0 message 1\n",
		MAP "sent 1 read " A "\n",
		MAP "sent 65536 read " A " 1\n",
		MAP "sent 1 msi " A " 1\n",
		MAP "sent 1 read " A " 1\nsent 1 read " A " 1\n",
		MAP "sent 1 read " A " 1\nwrite " A " 1 0 message 1\n",
		MAP "sent 1 read " A " 1\nread " A " 2 0 message 1\n",
		MAP "sent 1 read " A " 1\nleft\n",
		"msi " A " 4\n",
		"owner\nmsi " A " 8 0\n",
		"owner\nimwr " A " 4 ?\n",
		"reset\n",
		"reset warm\n",
		CARD_RECORD_HEADER "\n",
	};
	char text[256], line[32];
	size_t i, lines;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		/* The last line of each is the bad one. */
		lines = 1;
		for (const char *at = bad[i]; *at; at++)
			lines += *at == '\n';
		snprintf(text, sizeof(text), "%sreset flr\n", bad[i]);
		if (check_text(text) != -EPROTO)
			TAP_FAIL("taken: %s", bad[i]);
		snprintf(line, sizeof(line), "line %zu of the record", lines);
		EXPECT_HAS(why.text, line);
	}
	put_text(CARD_RECORD_HEADER "\nreset\0flr\n", strlen(CARD_RECORD_HEADER) + 11);
	EXPECT_EQ(check(), -EPROTO);
	memset(text, '1', sizeof(text));
	text[255] = '\0';
	EXPECT_EQ(check_text(text), 0); /* torn, at any length that a line may have */
}

static void test_isolation_torn_last_line_is_no_evidence(void)
{
	ASSERT_EQ(check_text(MAP "write " A " 4096 0 direct\nwrite 0x0000000000009000 1 0 dir"), 0);
	EXPECT_EQ(result.accesses, 1);
	EXPECT_EQ(result.violations, 0);
	ASSERT_EQ(check_text(MAP "sent 3 write " A " 4096\n"), 0);
	EXPECT_EQ(result.violations, 0);
}

static void test_isolation_message_counts_for_all_the_time_it_is_under_way(void)
{
	/* Begun before the unmap, or done after the map. */
	ASSERT_EQ(check_text(MAP "sent 1 write " A " 64\nunmap all\nwrite " A " 64 0 message 1\n"),
		  0);
	EXPECT_EQ(result.violations, 0);
	ASSERT_EQ(check_text("owner\nsent 1 write " A " 64\nmap " A " 64 -w message\n"
			     "unmap " A " 64\nwrite " A " 64 0 message 1\n"),
		  0);
	EXPECT_EQ(result.violations, 0);
	/* But not after the unmap, and not when it was mapped for reading. */
	ASSERT_EQ(check_text(MAP "unmap all\nsent 1 write " A " 64\nwrite " A " 64 0 message 1\n"),
		  0);
	EXPECT_EQ(result.violations, 1);
	EXPECT_STR(result.first,
		   "line 6: a write of 64 bytes at 0x1000, where 0x1000 is not mapped");
	ASSERT_EQ(check_text("owner\nmap " A " 64 r- message\nsent 1 write " A " 64\n"
			     "write " A " 64 0 message 1\n"),
		  0);
	EXPECT_EQ(result.violations, 1);
	/* Refused, or given up: nothing is proved. */
	ASSERT_EQ(check_text("owner\nsent 1 write " A " 64\nwrite " A " 64 -14 message 1\n"
			     "sent 1 read " A " 64\nread " A " 64 ? message 1\nleft\n"),
		  0);
	EXPECT_EQ(result.violations, 0);
	EXPECT_EQ(result.accesses, 2);
	EXPECT_EQ(result.refused, 1);
	EXPECT_EQ(result.unknown, 1);
}

static void test_isolation_ends_of_the_address_space(void)
{
	ASSERT_EQ(check_text("owner\nmap 0xfffffffffffff000 4096 rw direct\n"
			     "map 0x0000000000000000 4096 rw direct\n"
			     "read 0xfffffffffffff000 4096 0 direct\n"
			     "read 0x0000000000000000 4096 0 direct\n"
			     "unmap 0xffffffffffffffff 1\n"
			     "read 0xfffffffffffff000 4095 0 direct\n"
			     "read 0xffffffffffffffff 2 -14 none\n"),
		  0);
	EXPECT_EQ(result.violations, 0);
	ASSERT_EQ(check_text("owner\nmap 0xfffffffffffff000 4096 rw direct\n"
			     "unmap 0xffffffffffffffff 1\n"
			     "read 0xfffffffffffff000 4096 0 direct\n"),
		  0);
	EXPECT_EQ(result.violations, 1);
	EXPECT_HAS(result.first, "0xffffffffffffffff is not mapped");
}

static void test_isolation_interrupts_need_an_owner_and_no_mapping(void)
{
	ASSERT_EQ(check_text("imwr 0x00000000fee00418 4 -1\nowner\n"
			     "msi 0x00000000fee01000 4 0\nimwr 0x00000000fee00418 4 0\n"
			     "imwr 0x00000000fee00418 4 -1\n"),
		  0);
	EXPECT_EQ(result.violations, 0);
	EXPECT_EQ(result.messages, 2);
	ASSERT_EQ(check_text("owner\nleft\nmsi 0x00000000fee01000 4 0\n"), 0);
	EXPECT_EQ(result.violations, 1);
	EXPECT_HAS(result.first, "without an owner");
}

/* --- random histories --- */

static uint64_t dice;

static uint32_t roll(uint32_t sides)
{
	dice = dice * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(dice >> 33) % sides;
}

/* The model: what each page allows, in a plain array. */
static struct {
	struct card_record *record;
	bool owned;
	bool read[PAGES], write[PAGES];
	bool flying[SENT_NR], legal[SENT_NR];
	struct card_event sent[SENT_NR];
} world;

static void tell(struct card_event event)
{
	card_record_event(world.record, &event);
}

static bool pages_allow(bool write, unsigned int first, unsigned int count)
{
	bool ok = true;

	for (unsigned int i = first; i < first + count; i++)
		ok = ok && (write ? world.write[i] : world.read[i]);
	return ok;
}

static unsigned int first_page(const struct card_event *event)
{
	return (unsigned int)((event->addr - BASE) / PAGE);
}

static unsigned int page_count(const struct card_event *event)
{
	return (unsigned int)((event->addr + event->len - 1 - BASE) / PAGE) - first_page(event) + 1;
}

static bool is_legal(const struct card_event *event)
{
	return pages_allow(event->write, first_page(event), page_count(event));
}

/* Bytes within @count pages from @first on, touching all of them. */
static struct card_event access_in(bool write, unsigned int first, unsigned int count)
{
	uint64_t head = roll(PAGE), tail = 1 + roll(PAGE);

	if (count == 1 && tail <= head)
		tail = head + 1;
	return (struct card_event){
		.kind = write ? CARD_EVENT_WRITE : CARD_EVENT_READ,
		.write = write,
		.way = CARD_WAY_DIRECT,
		.addr = BASE + first * PAGE + head,
		.len = (count - 1) * PAGE + tail - head,
	};
}

static void look_at_sent(void)
{
	for (unsigned int i = 0; i < SENT_NR; i++)
		world.legal[i] = world.flying[i] && (world.legal[i] || is_legal(&world.sent[i]));
}

static void step_map(void)
{
	unsigned int first = roll(PAGES), count = 1 + roll(PAGES - first < 8 ? PAGES - first : 8);
	struct card_event event = {
		.kind = CARD_EVENT_MAP,
		.way = roll(2) ? CARD_WAY_DIRECT : CARD_WAY_MESSAGE,
		.addr = BASE + first * PAGE,
		.len = count * PAGE,
		.read = roll(4) > 0,
		.write = roll(4) > 0,
	};

	for (unsigned int i = first; i < first + count; i++) {
		world.read[i] = event.read;
		world.write[i] = event.write;
	}
	tell(event);
	look_at_sent();
}

static void step_unmap(void)
{
	unsigned int first = roll(PAGES), count = 1 + roll(PAGES - first < 8 ? PAGES - first : 8);
	bool all = roll(10) == 0;

	for (unsigned int i = 0; i < PAGES; i++)
		if (all || (i >= first && i < first + count))
			world.read[i] = world.write[i] = false;
	tell((struct card_event){.kind = CARD_EVENT_UNMAP,
				 .addr = all ? 0 : BASE + first * PAGE,
				 .len = all ? 0 : count * PAGE});
}

/* A legal access where there is one to be made, else a refused one. */
static void step_access(void)
{
	bool write = roll(2);
	unsigned int first = roll(PAGES), count = 0;
	struct card_event event;

	while (first + count < PAGES && count < 6 && pages_allow(write, first, count + 1))
		count++;
	event = access_in(write, first, count ? 1 + roll(count) : 1);
	if (!count) {
		event.way = CARD_WAY_NONE;
		event.result = -EFAULT;
	}
	tell(event);
}

static void land(unsigned int n, int verdict)
{
	struct card_event event = world.sent[n];

	event.kind = event.write ? CARD_EVENT_WRITE : CARD_EVENT_READ;
	event.way = CARD_WAY_MESSAGE;
	event.result = verdict;
	world.flying[n] = false;
	tell(event);
}

static void step_message(void)
{
	unsigned int n = roll(SENT_NR), first = roll(PAGES - 2);

	if (world.flying[n]) {
		look_at_sent();
		land(n, world.legal[n] ? 0 : roll(2) ? -EFAULT : CARD_RESULT_UNKNOWN);
		return;
	}
	world.sent[n] = access_in(roll(2), first, 1 + roll(2));
	world.sent[n].kind = CARD_EVENT_SENT;
	world.sent[n].number = (uint16_t)(n + SENT_NR * roll(8000));
	world.flying[n] = true;
	world.legal[n] = is_legal(&world.sent[n]);
	tell(world.sent[n]);
}

static void step_leave(void)
{
	for (unsigned int i = 0; i < SENT_NR; i++)
		if (world.flying[i])
			land(i, CARD_RESULT_UNKNOWN);
	tell((struct card_event){.kind = CARD_EVENT_RESET, .reset = CARD_RESET_COLD});
	tell((struct card_event){.kind = CARD_EVENT_LEFT});
	memset(world.read, 0, sizeof(world.read));
	memset(world.write, 0, sizeof(world.write));
	world.owned = false;
}

static void step(void)
{
	if (!world.owned) {
		tell((struct card_event){.kind = CARD_EVENT_OWNER});
		world.owned = true;
		return;
	}
	switch (roll(32)) {
	case 0:
		step_leave();
		break;
	case 1:
		tell((struct card_event){.kind = CARD_EVENT_RESET, .reset = CARD_RESET_FLR});
		break;
	case 2:
		tell((struct card_event){.kind = CARD_EVENT_MSI, .addr = 0xfee01000, .len = 4});
		break;
	case 3:
		tell((struct card_event){.kind = CARD_EVENT_IMWR,
					 .addr = 0xfee00418,
					 .len = 4,
					 .result = roll(2) ? 0 : -EPERM});
		break;
	case 4 ... 10:
		step_map();
		break;
	case 11 ... 15:
		step_unmap();
		break;
	case 16 ... 22:
		step_message();
		break;
	default:
		step_access();
		break;
	}
}

static bool world_begin(uint64_t seed)
{
	memset(&world, 0, sizeof(world));
	dice = seed * 2654435761u + 1;
	return !card_record_create(path, &world.record, &why);
}

static void steps(unsigned int count)
{
	while (count--)
		step();
}

static void test_isolation_legal_histories_pass(void)
{
	uint64_t accesses = 0, landed = 0;

	for (uint64_t seed = 0; seed < HISTORIES; seed++) {
		ASSERT(world_begin(seed));
		steps(STEPS);
		EXPECT_EQ(card_record_destroy(world.record), 0);
		ASSERT_EQ(check(), 0);
		if (result.violations)
			TAP_FAIL("seed %" PRIu64 ": %s", seed, result.first);
		accesses += result.accesses;
		landed += result.accesses - result.refused - result.unknown;
	}
	/* A history in which nothing happens would pass as well. */
	EXPECT(accesses > HISTORIES * 20);
	EXPECT(landed > HISTORIES * 10);
	printf("# %" PRIu64 " accesses, %" PRIu64 " landed\n", accesses, landed);
}

/* --- crimes --- */

static void ensure_owner(void)
{
	if (!world.owned)
		step();
}

static void map_page(unsigned int page, bool read, bool write)
{
	world.read[page] = read;
	world.write[page] = write;
	tell((struct card_event){.kind = CARD_EVENT_MAP,
				 .way = CARD_WAY_DIRECT,
				 .read = read,
				 .write = write,
				 .addr = BASE + page * PAGE,
				 .len = PAGE});
	look_at_sent();
}

static void unmap_page(unsigned int page)
{
	world.read[page] = world.write[page] = false;
	tell((struct card_event){
		.kind = CARD_EVENT_UNMAP, .addr = BASE + page * PAGE, .len = PAGE});
}

static void crime_before_map(void)
{
	ensure_owner();
	unmap_page(5);
	tell(access_in(roll(2), 5, 1));
	map_page(5, true, true);
}

static void crime_after_unmap(void)
{
	ensure_owner();
	map_page(5, true, true);
	tell(access_in(roll(2), 5, 1));
	unmap_page(5);
	tell(access_in(roll(2), 5, 1));
}

static void crime_past_the_end(void)
{
	struct card_event event = {
		.kind = CARD_EVENT_READ, .way = CARD_WAY_DIRECT, .len = PAGE + 1};

	ensure_owner();
	map_page(5, true, true);
	unmap_page(6);
	event.addr = BASE + 5 * PAGE;
	tell(event);
}

static void crime_before_the_start(void)
{
	struct card_event event = {.kind = CARD_EVENT_WRITE, .way = CARD_WAY_DIRECT, .len = 64};

	ensure_owner();
	unmap_page(4);
	map_page(5, true, true);
	event.addr = BASE + 5 * PAGE - 1;
	tell(event);
}

static void crime_over_a_hole(void)
{
	ensure_owner();
	map_page(5, true, true);
	unmap_page(6);
	map_page(7, true, true);
	tell(access_in(roll(2), 5, 3));
}

static void crime_write_to_read_only(void)
{
	ensure_owner();
	map_page(5, true, false);
	tell(access_in(true, 5, 1));
}

static void crime_read_of_write_only(void)
{
	ensure_owner();
	map_page(4, true, true);
	map_page(5, false, true);
	tell(access_in(false, 4, 2));
}

static void crime_after_the_owner_left(void)
{
	ensure_owner();
	map_page(5, true, true);
	step_leave();
	tell(access_in(roll(2), 5, 1));
}

static void crime_message_nowhere(void)
{
	struct card_event event = {
		.kind = CARD_EVENT_SENT, .number = 65000, .len = 4, .write = true};

	ensure_owner();
	event.addr = 0xfebf0000; /* another device */
	tell(event);
	event.kind = CARD_EVENT_WRITE;
	event.way = CARD_WAY_MESSAGE;
	tell(event);
}

static void crime_interrupt_after_the_owner_left(void)
{
	ensure_owner();
	step_leave();
	tell((struct card_event){.kind = CARD_EVENT_MSI, .addr = 0xfee01000, .len = 4});
}

static void expect_found(void (*crime)(void))
{
	for (uint64_t seed = 0; seed < 40; seed++) {
		ASSERT(world_begin(seed));
		steps(STEPS / 2);
		crime();
		steps(STEPS / 2);
		EXPECT_EQ(card_record_destroy(world.record), 0);
		ASSERT_EQ(check(), 0);
		EXPECT_EQ(result.violations, 1);
		EXPECT(result.first[0]);
	}
}

static void test_isolation_each_kind_of_crime_is_found(void)
{
	expect_found(crime_before_map);
	expect_found(crime_after_unmap);
	expect_found(crime_past_the_end);
	expect_found(crime_before_the_start);
	expect_found(crime_over_a_hole);
	expect_found(crime_write_to_read_only);
	expect_found(crime_read_of_write_only);
	expect_found(crime_after_the_owner_left);
	expect_found(crime_message_nowhere);
	expect_found(crime_interrupt_after_the_owner_left);
}

/* --- size --- */

/* A guest's vIOMMU maps page by page. */
static void test_isolation_of_100000_mappings(void)
{
	const uint64_t count = 100000;
	struct card_event event = {.kind = CARD_EVENT_READ, .way = CARD_WAY_DIRECT};

	ASSERT(world_begin(1));
	tell((struct card_event){.kind = CARD_EVENT_OWNER});
	for (uint64_t i = 0; i < count; i++)
		tell((struct card_event){.kind = CARD_EVENT_MAP,
					 .read = true,
					 .way = CARD_WAY_DIRECT,
					 .addr = BASE + i * 7919 % count * PAGE,
					 .len = PAGE});
	event.addr = BASE;
	event.len = count * PAGE;
	tell(event);
	event.len++;
	tell(event);
	EXPECT_EQ(card_record_destroy(world.record), 0);
	ASSERT_EQ(check(), 0);
	EXPECT_EQ(result.maps, count);
	EXPECT_EQ(result.violations, 1);
}

/* --- the writer --- */

static void test_isolation_record_that_cannot_be_written_says_so(void)
{
	struct card_record *record;

	EXPECT_EQ(card_record_create("/tmp/tethys-no-such-folder/record", &record, &why), -ENOENT);
	EXPECT_EQ(card_record_create("/dev/full", &record, &why), -ENOSPC);
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	RUN(test_isolation_record_without_events_has_no_violations);
	RUN(test_isolation_what_is_no_record_is_refused);
	RUN(test_isolation_nonsense_is_found_with_its_line);
	RUN(test_isolation_torn_last_line_is_no_evidence);
	RUN(test_isolation_message_counts_for_all_the_time_it_is_under_way);
	RUN(test_isolation_ends_of_the_address_space);
	RUN(test_isolation_interrupts_need_an_owner_and_no_mapping);
	RUN(test_isolation_legal_histories_pass);
	RUN(test_isolation_each_kind_of_crime_is_found);
	RUN(test_isolation_of_100000_mappings);
	RUN(test_isolation_record_that_cannot_be_written_says_so);
	unlink(path);
	return tap_done();
}
