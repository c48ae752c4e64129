/* Calls the functions of libcmap, libcfg, libquorum and libvotequorum with good and bad arguments and says what each
 * returned, over a node of its own that counts votes. The same program runs over Corosync's libraries and ours. Lines
 * that begin with a space are facts. Argument "null": also what ends the program with Corosync's libraries, and what
 * came after Corosync 3.1.7. */
#include <corosync/cfg.h>
#include <corosync/cmap.h>
#include <corosync/corotypes.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAY(call) printf("%s = %d\n", #call, (int)(call))
#define STALE 0x1234567800000000ULL

/* Corosync 3.1.7 does not have these. */
#pragma weak votequorum_model_initialize
#pragma weak votequorum_get_qdevice_extra_info
#pragma weak votequorum_set_qdevice_extra_info

static int null, notices, last_event;
static char long_key[300];

/* Dispatches until so many notices came. */
#define UNTIL(dispatch, handle, fd, wanted)                                                          \
	do {                                                                                         \
		struct pollfd p = {.fd = (fd), .events = POLLIN};                                    \
		for (int tries = 0; tries < 1000 && notices < (wanted); tries++)                     \
			if (poll(&p, 1, 10) > 0)                                                     \
				dispatch(handle, CS_DISPATCH_ALL);                                   \
		printf(" notices: %d\n", notices);                                                   \
	} while (0)

static void changed(cmap_handle_t h, cmap_track_handle_t t, int32_t event, const char *key,
		    struct cmap_notify_value now, struct cmap_notify_value before, void *user)
{
	notices++;
	last_event = event;
	printf(" %s: event %d, type %d from %d, %zu bytes from %zu, user %ld\n", key, event, now.type, before.type,
	       now.len, before.len, (long)user);
}

#define NUMBER(name, type, value, format)                                                             \
	do {                                                                                          \
		type got = 0;                                                                         \
		SAY(cmap_set_##name(map, "calls." #name, value));                                     \
		SAY(cmap_get_##name(map, "calls." #name, &got));                                      \
		printf(" " format "\n", got);                                                         \
		SAY(cmap_get_##name(map, "calls.none", &got));                                        \
		SAY(cmap_get_##name(map, "calls.string", &got));                                      \
		SAY(cmap_get_##name(STALE, "calls." #name, &got));                                    \
		SAY(cmap_set_##name(map, "runtime.config.calls", value));                             \
		SAY(cmap_set_##name(map, "a", value));                                                \
		SAY(cmap_set_##name(STALE, "calls." #name, value));                                   \
	} while (0)

static void *writes(void *arg)
{
	cmap_handle_t map;

	cmap_initialize(&map);
	for (int i = 0; i < 200; i++)
		cmap_inc(map, "calls.uint32");
	cmap_finalize(map);
	return arg;
}

static void maps(void)
{
	cmap_handle_t map, stats;
	cmap_iter_handle_t it;
	cmap_track_handle_t track, again;
	cmap_value_types_t type = 0;
	char *text = NULL, key[CMAP_KEYNAME_MAXLEN + 1];
	char room[8] = "";
	size_t len = 0;
	uint32_t number = 0;
	int fd, keys = 0;
	pthread_t threads[2];

	SAY(cmap_initialize(&map));
	SAY(cmap_set_string(map, "calls.string", "text"));
	NUMBER(int8, int8_t, -7, "%d");
	NUMBER(uint8, uint8_t, 7, "%d");
	NUMBER(int16, int16_t, -700, "%d");
	NUMBER(uint16, uint16_t, 700, "%d");
	NUMBER(int32, int32_t, -70000, "%d");
	NUMBER(uint32, uint32_t, 70000, "%u");
	NUMBER(int64, int64_t, -7000000000, "%ld");
	NUMBER(uint64, uint64_t, 7000000000, "%lu");
	NUMBER(float, float, 0.5f, "%.1f");
	NUMBER(double, double, 0.25, "%.2f");
	SAY(cmap_get_string(map, "calls.string", &text));
	printf(" %s\n", text);
	SAY(cmap_get_string(map, "calls.int8", &text));
	SAY(cmap_get_string(map, "calls.none", &text));
	SAY(cmap_get_string(STALE, "calls.string", &text));
	SAY(cmap_set_string(map, "nodelist.node.0.name", "other"));
	SAY(cmap_get(map, "calls.uint32", NULL, &len, &type));
	printf(" %zu bytes, type %d\n", len, type);
	len = 3;
	SAY(cmap_get(map, "calls.uint32", room, &len, &type));
	len = 8;
	SAY(cmap_get(map, "calls.uint32", room, &len, NULL));
	printf(" %zu bytes\n", len);
	SAY(cmap_get(map, long_key, NULL, &len, &type));
	SAY(cmap_get(map, "a key", NULL, &len, &type));
	SAY(cmap_set(map, "calls.binary", "\0\1\2", 3, CMAP_VALUETYPE_BINARY));
	SAY(cmap_set(map, "calls.binary", "abcd", 3, CMAP_VALUETYPE_UINT32));
	SAY(cmap_set(map, "calls.binary", "abcd", 4, 13));
	SAY(cmap_set(map, "calls.binary", "abcd", 4, 0));
	SAY(cmap_set(map, "calls.cut", "abcd", 2, CMAP_VALUETYPE_STRING));
	SAY(cmap_get_string(map, "calls.cut", &text));
	printf(" %s\n", text);
	SAY(cmap_set(map, "calls.empty", "", 0, CMAP_VALUETYPE_BINARY));
	SAY(cmap_set(map, "ab", "x", 1, CMAP_VALUETYPE_BINARY));
	SAY(cmap_set(map, "a key", "x", 1, CMAP_VALUETYPE_BINARY));
	SAY(cmap_set(map, long_key, "x", 1, CMAP_VALUETYPE_BINARY));
	SAY(cmap_inc(map, "calls.uint8"));
	SAY(cmap_dec(map, "calls.int64"));
	SAY(cmap_dec(map, "calls.float"));
	SAY(cmap_inc(map, "calls.string"));
	SAY(cmap_dec(map, "calls.none"));
	SAY(cmap_inc(map, "nodelist.node.0.nodeid"));
	SAY(cmap_dec(STALE, "calls.int8"));
	SAY(cmap_delete(map, "calls.none"));
	SAY(cmap_delete(map, "nodelist.node.0.nodeid"));
	SAY(cmap_delete(STALE, "calls.int8"));

	SAY(cmap_iter_init(map, "calls.", &it));
	while (cmap_iter_next(map, it, key, &len, &type) == CS_OK)
		keys++;
	printf(" %d keys\n", keys);
	SAY(cmap_iter_next(map, it, key, NULL, NULL));
	SAY(cmap_iter_next(STALE, it, key, NULL, NULL));
	SAY(cmap_iter_next(map, STALE, key, NULL, NULL));
	SAY(cmap_iter_finalize(map, it));
	SAY(cmap_iter_finalize(map, it));
	SAY(cmap_iter_init(map, "no.such.prefix", &it));
	SAY(cmap_iter_next(map, it, key, &len, &type));
	SAY(cmap_iter_finalize(map, it));

	SAY(cmap_fd_get(map, &fd));
	SAY(cmap_track_add(map, "calls.int8", CMAP_TRACK_ADD | CMAP_TRACK_MODIFY | CMAP_TRACK_DELETE, changed, (void *)9,
			   &track));
	SAY(cmap_track_add(map, "calls.u", CMAP_TRACK_PREFIX | CMAP_TRACK_DELETE, changed, NULL, &again));
	SAY(cmap_track_add(map, "calls.int8", 0x40, changed, NULL, &again));
	SAY(cmap_track_add(map, "calls.int8", CMAP_TRACK_MODIFY, NULL, NULL, &again));
	SAY(cmap_track_add(STALE, "calls.int8", CMAP_TRACK_MODIFY, changed, NULL, &again));
	SAY(cmap_set_int8(map, "calls.int8", 1));
	SAY(cmap_set_int8(map, "calls.int8", 1));
	SAY(cmap_delete(map, "calls.int8"));
	SAY(cmap_set_int16(map, "calls.int8", 1));
	SAY(cmap_set_uint8(map, "calls.uint8", 100));
	SAY(cmap_delete(map, "calls.uint8"));
	UNTIL(cmap_dispatch, map, fd, 4);
	SAY(cmap_track_delete(map, track));
	SAY(cmap_track_delete(map, track));
	SAY(cmap_track_delete(STALE, track));

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, writes, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	SAY(cmap_get_uint32(map, "calls.uint32", &number));
	printf(" %u\n", number);
	fflush(stdout);
	if (fork() == 0) {
		if (null)
			SAY(cmap_inc(map, "calls.uint32"));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	SAY(cmap_inc(map, "calls.uint32"));

	SAY(cmap_initialize_map(&stats, CMAP_MAP_STATS));
	SAY(cmap_get_uint32(stats, "calls.uint32", &number));
	SAY(cmap_set_uint8(stats, "calls.uint8", 1));
	SAY(cmap_delete(stats, "stats.srp.mcast_tx"));
	SAY(cmap_set_uint8(stats, "stats.clear.totem", 1));
	SAY(cmap_finalize(stats));
	SAY(cmap_finalize(map));
	if (null) {
		SAY(cmap_get_uint32(map, "calls.uint32", NULL));
		SAY(cmap_track_add(map, NULL, CMAP_TRACK_MODIFY, changed, NULL, &again));
	}
}

static int asked;

static void shut_down(corosync_cfg_handle_t h, corosync_cfg_shutdown_flags_t flags)
{
	asked++;
	printf(" asked to shut down, flags %d\n", (int)flags);
	SAY(corosync_cfg_replyto_shutdown(h, COROSYNC_CFG_SHUTDOWN_FLAG_NO));
}

static void *shuts_down(void *arg)
{
	corosync_cfg_handle_t other;

	corosync_cfg_initialize(&other, NULL);
	*(cs_error_t *)arg = corosync_cfg_try_shutdown(other, COROSYNC_CFG_SHUTDOWN_FLAG_REQUEST);
	corosync_cfg_finalize(other);
	return NULL;
}

static void administration(void)
{
	corosync_cfg_callbacks_t callbacks = {shut_down};
	corosync_cfg_handle_t cfg;
	corosync_cfg_node_address_t addresses[4];
	struct corosync_cfg_node_status_v1 status;
	unsigned count = 0;
	int found = -1, fd;
	cs_error_t shut = CS_OK;
	char **names, **states;
	pthread_t thread;

	SAY(corosync_cfg_initialize(&cfg, &callbacks));
	SAY(corosync_cfg_ring_status_get(cfg, &names, &states, &count));
	printf(" %u links\n", count);
	SAY(corosync_cfg_node_status_get(cfg, 1, CFG_NODE_STATUS_V1, &status));
	printf(" node %u, reachable %d\n", status.nodeid, status.reachable);
	SAY(corosync_cfg_node_status_get(cfg, 99, CFG_NODE_STATUS_V1, &status));
	SAY(corosync_cfg_node_status_get(cfg, 1, 2, &status));
	SAY(corosync_cfg_get_node_addrs(cfg, 1, 4, &found, addresses));
	printf(" %d addresses, %d bytes\n", found, addresses[0].address_length);
	SAY(corosync_cfg_get_node_addrs(cfg, 0, 4, &found, addresses));
	SAY(corosync_cfg_get_node_addrs(cfg, 99, 4, &found, addresses));
	SAY(corosync_cfg_kill_node(cfg, 99, "because"));
	SAY(corosync_cfg_kill_node(cfg, 1, long_key));
	SAY(corosync_cfg_reload_config(cfg));
	SAY(corosync_cfg_reopen_log_files(cfg));
	SAY(corosync_cfg_replyto_shutdown(cfg, COROSYNC_CFG_SHUTDOWN_FLAG_YES));
	SAY(corosync_cfg_trackstop(cfg));
	SAY(corosync_cfg_trackstart(cfg, 0));
	SAY(corosync_cfg_trackstart(cfg, 0));
	SAY(corosync_cfg_fd_get(cfg, &fd));
	pthread_create(&thread, NULL, shuts_down, &shut);
	for (int tries = 0; tries < 1000 && asked == 0; tries++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, 10) > 0)
			corosync_cfg_dispatch(cfg, CS_DISPATCH_ALL);
	}
	pthread_join(thread, NULL);
	printf(" shutting down: %d\n", (int)shut);
	SAY(corosync_cfg_trackstop(cfg));
	SAY(corosync_cfg_ring_status_get(STALE, &names, &states, &count));
	SAY(corosync_cfg_node_status_get(STALE, 1, CFG_NODE_STATUS_V1, &status));
	SAY(corosync_cfg_get_node_addrs(STALE, 1, 4, &found, addresses));
	SAY(corosync_cfg_kill_node(STALE, 99, "because"));
	SAY(corosync_cfg_reload_config(STALE));
	SAY(corosync_cfg_reopen_log_files(STALE));
	SAY(corosync_cfg_replyto_shutdown(STALE, COROSYNC_CFG_SHUTDOWN_FLAG_YES));
	SAY(corosync_cfg_trackstart(STALE, 0));
	SAY(corosync_cfg_trackstop(STALE));
	SAY(corosync_cfg_try_shutdown(STALE, COROSYNC_CFG_SHUTDOWN_FLAG_REQUEST));
	if (null) {
		SAY(corosync_cfg_ring_status_get(cfg, NULL, &states, &count));
		SAY(corosync_cfg_get_node_addrs(cfg, 1, 4, NULL, addresses));
		SAY(corosync_cfg_kill_node(cfg, 99, NULL));
	}
	SAY(corosync_cfg_finalize(cfg));
}

static void quorum_is(quorum_handle_t h, uint32_t quorate, uint64_t seq, uint32_t count, uint32_t *nodes)
{
	notices++;
	printf(" quorate %u, %u nodes, ring %s\n", quorate, count, seq ? "given" : "missing");
}

static void quorums(void)
{
	quorum_callbacks_t callbacks = {quorum_is};
	quorum_handle_t quorum;
	uint32_t type = 9;
	int quorate = 9, fd;
	const void *context = NULL;

	notices = 0;
	SAY(quorum_initialize(&quorum, &callbacks, &type));
	printf(" type %u\n", type);
	SAY(quorum_getquorate(quorum, &quorate));
	printf(" quorate %d\n", quorate);
	SAY(quorum_context_set(quorum, (void *)4));
	SAY(quorum_context_get(quorum, &context));
	printf(" context %ld\n", (long)context);
	SAY(quorum_trackstop(quorum));
	SAY(quorum_trackstart(quorum, CS_TRACK_CURRENT));
	SAY(quorum_trackstart(quorum, CS_TRACK_CHANGES));
	SAY(quorum_fd_get(quorum, &fd));
	UNTIL(quorum_dispatch, quorum, fd, 2);
	SAY(quorum_trackstop(quorum));
	SAY(quorum_trackstop(quorum));
	SAY(quorum_getquorate(STALE, &quorate));
	SAY(quorum_context_set(STALE, NULL));
	SAY(quorum_context_get(STALE, &context));
	SAY(quorum_trackstop(STALE));
	if (null) {
		SAY(quorum_getquorate(quorum, NULL));
		SAY(quorum_context_get(quorum, NULL));
	}
	SAY(quorum_finalize(quorum));
}

static void votes_are(votequorum_handle_t h, uint64_t context, uint32_t quorate, uint32_t count, votequorum_node_t *nodes)
{
	notices++;
	printf(" votes: context %lu, quorate %u, %u nodes\n", (unsigned long)context, quorate, count);
}

static void extra_is(votequorum_handle_t h, uint64_t context, uint32_t nodeid, uint32_t size, void *extra)
{
	notices++;
	printf(" extra: context %lu, node %u, %u bytes %.4s\n", (unsigned long)context, nodeid, size,
	       size ? (char *)extra : "none");
}

static void votings(void)
{
	votequorum_callbacks_t callbacks = {votes_are, NULL, NULL};
	votequorum_ring_id_t ring = {1, 1};
	votequorum_handle_t votes;
	struct votequorum_info info;
	void *context = NULL;
	int fd;

	notices = 0;
	SAY(votequorum_initialize(&votes, &callbacks));
	SAY(votequorum_getinfo(votes, 1, &info));
	printf(" node %u, state %u, votes %u of %u, quorum %u, flags %u\n", info.node_id, info.node_state,
	       info.node_votes, info.highest_expected, info.quorum, info.flags);
	SAY(votequorum_getinfo(votes, 99, &info));
	SAY(votequorum_context_set(votes, (void *)6));
	SAY(votequorum_context_get(votes, &context));
	printf(" context %ld\n", (long)context);
	SAY(votequorum_trackstop(votes));
	SAY(votequorum_trackstart(votes, 12, CS_TRACK_CHANGES));
	SAY(votequorum_trackstart(votes, 13, CS_TRACK_CHANGES));
	SAY(votequorum_fd_get(votes, &fd));
	UNTIL(votequorum_dispatch, votes, fd, 1);
	SAY(votequorum_trackstop(votes));
	SAY(votequorum_setexpected(votes, 0));
	SAY(votequorum_setexpected(votes, 3));
	SAY(votequorum_setexpected(votes, 1));
	SAY(votequorum_setvotes(votes, 99, 1));
	SAY(votequorum_setvotes(votes, 1, 1));
	SAY(votequorum_qdevice_poll(votes, "device", 1, ring));
	SAY(votequorum_qdevice_unregister(votes, "device"));
	SAY(votequorum_qdevice_update(votes, "device", "other"));
	SAY(votequorum_qdevice_master_wins(votes, "device", 1));
	SAY(votequorum_qdevice_register(votes, long_key));
	SAY(votequorum_getinfo(STALE, 1, &info));
	SAY(votequorum_setexpected(STALE, 1));
	SAY(votequorum_setvotes(STALE, 1, 1));
	SAY(votequorum_trackstart(STALE, 0, CS_TRACK_CHANGES));
	SAY(votequorum_trackstop(STALE));
	SAY(votequorum_context_set(STALE, NULL));
	SAY(votequorum_context_get(STALE, &context));
	SAY(votequorum_qdevice_register(STALE, "device"));
	SAY(votequorum_qdevice_poll(STALE, "device", 1, ring));
	SAY(votequorum_qdevice_unregister(STALE, "device"));
	SAY(votequorum_qdevice_update(STALE, "device", "other"));
	SAY(votequorum_qdevice_master_wins(STALE, "device", 1));
	if (null) {
		votequorum_model_v1_data_t model = {VOTEQUORUM_MODEL_V1, NULL, NULL, NULL, extra_is};
		static char said[VOTEQUORUM_QDEVICE_EXTRA_NODEINFO_MAXSIZE], found[sizeof(said)];
		uint32_t size = 7;
		votequorum_handle_t newer;

		SAY(votequorum_getinfo(votes, 1, NULL));
		SAY(votequorum_context_get(votes, NULL));
		SAY(votequorum_model_initialize(&newer, &model));
		SAY(votequorum_model_initialize(&newer, NULL));
		SAY(votequorum_set_qdevice_extra_info(votes, 4, "more"));
		SAY(votequorum_set_qdevice_extra_info(votes, 5000, said));
		SAY(votequorum_get_qdevice_extra_info(votes, 1, &size, found));
		printf(" %u bytes\n", size);
		SAY(votequorum_get_qdevice_extra_info(votes, 99, &size, found));
		SAY(votequorum_get_qdevice_extra_info(votes, 1, NULL, found));
		SAY(votequorum_get_qdevice_extra_info(votes, 1, &size, NULL));
		SAY(votequorum_get_qdevice_extra_info(STALE, 1, &size, found));
		SAY(votequorum_qdevice_register(votes, "device"));
		SAY(votequorum_fd_get(newer, &fd));
		SAY(votequorum_trackstart(newer, 14, CS_TRACK_CHANGES));
		memset(said, 's', sizeof(said));
		notices = 0;
		SAY(votequorum_set_qdevice_extra_info(votes, sizeof(said), said));
		UNTIL(votequorum_dispatch, newer, fd, 1);
		SAY(votequorum_get_qdevice_extra_info(votes, 1, &size, found));
		printf(" %u bytes, the same: %d\n", size, memcmp(said, found, sizeof(said)) == 0);
		SAY(votequorum_getinfo(votes, 1, &info));
		printf(" flags %u\n", info.flags);
		SAY(votequorum_trackstop(newer));
		SAY(votequorum_trackstart(newer, 15, CS_TRACK_CHANGES));
		UNTIL(votequorum_dispatch, newer, fd, 2);
		SAY(votequorum_qdevice_unregister(votes, "device"));
		UNTIL(votequorum_dispatch, newer, fd, 3);
		SAY(votequorum_get_qdevice_extra_info(votes, 1, &size, found));
		printf(" %u bytes\n", size);
		SAY(votequorum_finalize(newer));
	}
	SAY(votequorum_finalize(votes));
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	null = argc > 1 && strcmp(argv[1], "null") == 0;
	memset(long_key, 'k', sizeof(long_key) - 1);
	maps();
	administration();
	quorums();
	votings();
	return 0;
}
