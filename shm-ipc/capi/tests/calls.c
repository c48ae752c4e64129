/* Calls every function of the libraries with good and bad arguments and says what each returned. The same program runs
 * over Corosync's libraries and ours. Lines that begin with a space are facts, the others calls and their results.
 * Argument "null": also those calls that end the program with Corosync's libraries. */
#define _GNU_SOURCE
#include <corosync/cfg.h>
#include <corosync/cmap.h>
#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAY(call) printf("%s = %d\n", #call, (int)(call))
#define STALE 0x1234567800000000ULL

static int delivered, confchgs, totems, last_len, finalize_inside;
static char last[64];

static void deliver(cpg_handle_t h, const struct cpg_name *g, uint32_t node, uint32_t pid, void *msg, size_t len)
{
	delivered++;
	last_len = (int)len;
	memcpy(last, msg, len < sizeof last ? len : sizeof last);
	((char *)msg)[0] ^= 1; /* programs may write to it */
	if (((uintptr_t)msg & 7) != 0 || pid != (uint32_t)getpid())
		printf(" wrong message\n");
	if (finalize_inside)
		printf(" finalize inside = %d\n", cpg_finalize(h));
}

static void confchg(cpg_handle_t h, const struct cpg_name *g, const struct cpg_address *m, size_t n,
		    const struct cpg_address *l, size_t nl, const struct cpg_address *j, size_t nj)
{
	confchgs++;
	printf(" confchg %.*s: %zu members, %zu left, %zu joined, reason %d\n", (int)strnlen(g->value, g->length),
	       g->value, n, nl, nj, nj ? (int)j[0].reason : nl ? (int)l[0].reason : 0);
}

static void totem(cpg_handle_t h, struct cpg_ring_id ring, uint32_t n, const uint32_t *m)
{
	totems++;
	printf(" totem: %u members, ring %s\n", n, ring.nodeid && ring.seq ? "given" : "missing");
}

static struct cpg_name name(const char *text)
{
	struct cpg_name n = {.length = (uint32_t)strlen(text) + 1};
	strcpy(n.value, text);
	return n;
}

static int readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, ms) > 0 ? p.revents & (POLLIN | POLLHUP) : 0;
}

/* Dispatches until so many callbacks came. */
static void until(cpg_handle_t h, int fd, int *count, int wanted)
{
	for (int i = 0; i < 2000 && *count < wanted; i++)
		if (readable(fd, 10))
			cpg_dispatch(h, CS_DISPATCH_ALL);
	if (*count < wanted)
		printf(" missing callbacks\n");
}

static cs_error_t send_text(cpg_handle_t h, const char *text)
{
	struct iovec v[2] = {{(void *)text, 1}, {(void *)(text + 1), strlen(text) - 1}};
	return cpg_mcast_joined(h, CPG_TYPE_AGREED, v, 2);
}

static void peer(int fd)
{
	struct ucred c;
	socklen_t len = sizeof c;
	int family = 0;
	socklen_t flen = sizeof family;
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &flen);
	int r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len);
	printf(" fd: %s, peer uid %s, %s\n", family == AF_UNIX ? "unix socket" : "other",
	       r == 0 && c.uid == geteuid() ? "ours" : "other", c.pid == getpid() ? "ourselves" : "the engine");
}

static void *in_thread(void *arg)
{
	cpg_handle_t h = *(cpg_handle_t *)arg;
	for (int i = 0; i < 50; i++)
		while (send_text(h, "from a thread") == CS_ERR_TRY_AGAIN)
			usleep(1000);
	return NULL;
}

static void groups(int null)
{
	cpg_handle_t h, second;
	cpg_callbacks_t plain = {deliver, confchg};
	cpg_model_v1_data_t model = {CPG_MODEL_V1, deliver, confchg, totem, CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF};
	struct cpg_name g = name("calls"), other = name("other"), shared = name("threads"), big = {.length = 129};
	struct cpg_address list[CPG_MEMBERS_MAX];
	int fd = -1, fd2, n = -1;
	uint32_t size = 0;
	unsigned node = 0;
	void *context = NULL, *buffer = NULL;
	cpg_flow_control_state_t flow = 7;
	cpg_iteration_handle_t it;
	struct cpg_iteration_description_t d;

	SAY(cpg_model_initialize(&h, 2, (cpg_model_data_t *)&model, NULL));
	model.flags = 0x80;
	SAY(cpg_model_initialize(&h, CPG_MODEL_V1, (cpg_model_data_t *)&model, NULL));
	model.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF;
	SAY(cpg_model_initialize(&h, CPG_MODEL_V1, (cpg_model_data_t *)&model, (void *)77));
	SAY(cpg_context_get(h, &context));
	printf(" context %ld\n", (long)context);
	SAY(cpg_context_set(h, (void *)78));
	SAY(cpg_context_get(h, &context));
	printf(" context %ld\n", (long)context);
	SAY(cpg_fd_get(h, &fd));
	peer(fd);
	printf(" readable %d\n", readable(fd, 50));
	SAY(cpg_max_atomic_msgsize_get(h, &size));
	printf(" %u\n", size);
	SAY(cpg_local_get(h, &node));
	printf(" node %u\n", node);
	SAY(cpg_flow_control_state_get(h, &flow));
	printf(" flow control %d\n", flow);
	SAY(cpg_dispatch(h, CS_DISPATCH_ALL));
	SAY(cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING));
	SAY(cpg_leave(h, &g));
	SAY(cpg_join(h, &big));
	SAY(cpg_join(h, &g));
	SAY(cpg_join(h, &g));
	SAY(cpg_join(h, &other));
	until(h, fd, &confchgs, 1);
	until(h, fd, &totems, 1);
	SAY(cpg_membership_get(h, &g, list, &n));
	printf(" %d members, pid %s\n", n, list[0].pid == (uint32_t)getpid() ? "right" : "wrong");
	SAY(cpg_membership_get(h, &other, list, &n));
	printf(" %d members\n", n);
	SAY(cpg_membership_get(h, &big, list, &n));
	SAY(cpg_membership_get(h, &g, NULL, &n));
	SAY(cpg_membership_get(h, &g, list, NULL));

	SAY(send_text(h, "hello"));
	until(h, fd, &delivered, 1);
	printf(" got %d bytes: %.5s\n", last_len, last);
	printf(" readable %d\n", readable(fd, 50));
	SAY(send_text(h, "one"));
	SAY(send_text(h, "two"));
	while (readable(fd, 5000) && delivered < 2)
		cpg_dispatch(h, CS_DISPATCH_ONE);
	SAY(cpg_dispatch(h, CS_DISPATCH_ONE));
	printf(" %d messages\n", delivered);
	printf(" readable %d\n", readable(fd, 50));
	SAY(cpg_mcast_joined(h, CPG_TYPE_AGREED, NULL, 0));
	until(h, fd, &delivered, 4);
	printf(" got %d bytes\n", last_len);
	char *large = malloc(3000000);
	memset(large, 'x', 3000000);
	struct iovec v = {large, size};
	SAY(cpg_mcast_joined(h, CPG_TYPE_AGREED, &v, 1));
	until(h, fd, &delivered, 5);
	printf(" got %d bytes\n", last_len);
	v.iov_len = 3000000;
	SAY(cpg_mcast_joined(h, CPG_TYPE_AGREED, &v, 1));
	until(h, fd, &delivered, 6);
	printf(" got %d bytes\n", last_len);
	SAY(cpg_zcb_alloc(h, 100, &buffer));
	strcpy(buffer, "zero");
	SAY(cpg_zcb_mcast_joined(h, CPG_TYPE_AGREED, buffer, 5));
	until(h, fd, &delivered, 7);
	printf(" got %s\n", last);
	SAY(cpg_zcb_free(h, buffer));

	SAY(cpg_iteration_initialize(h, 9, NULL, &it));
	SAY(cpg_iteration_initialize(h, CPG_ITERATION_ONE_GROUP, NULL, &it));
	SAY(cpg_iteration_initialize(h, CPG_ITERATION_ALL, &g, &it));
	SAY(cpg_iteration_initialize(h, CPG_ITERATION_ALL, NULL, NULL));
	SAY(cpg_iteration_initialize(h, CPG_ITERATION_ALL, NULL, &it));
	SAY(cpg_iteration_next(it, NULL));
	SAY(cpg_iteration_next(it, &d));
	printf(" %s\n", d.group.value);
	SAY(cpg_iteration_next(it, &d));
	SAY(cpg_iteration_finalize(it));
	SAY(cpg_iteration_next(it, &d));
	SAY(cpg_iteration_finalize(it));

	SAY(cpg_initialize(&second, &plain));
	SAY(cpg_fd_get(second, &fd2));
	SAY(cpg_join(second, &g));
	SAY(cpg_join(second, &other));
	until(second, fd2, &confchgs, 2);
	SAY(cpg_finalize(second));
	SAY(cpg_finalize(second));
	SAY(cpg_dispatch(second, CS_DISPATCH_ALL));

	pthread_t thread[2];
	cpg_handle_t own;
	cpg_initialize(&own, &plain);
	cpg_fd_get(own, &fd2);
	cpg_join(own, &shared);
	pthread_create(&thread[0], NULL, in_thread, &h);
	pthread_create(&thread[1], NULL, in_thread, &own);
	int before = delivered;
	until(h, fd, &delivered, before + 50);
	until(own, fd2, &delivered, before + 100);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	printf(" %d messages from threads\n", delivered - before);
	cpg_finalize(own);

	before = confchgs;
	fflush(stdout);
	if (fork() == 0) {
		if (null)
			SAY(send_text(h, "from a child"));
		/* It is another process, and not in the group that its parent is in. */
		cpg_initialize(&second, &plain);
		SAY(cpg_join(second, &g));
		SAY(cpg_leave(second, &g));
		SAY(cpg_finalize(second));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	until(h, fd, &confchgs, before + 2);

	before = confchgs;
	SAY(cpg_leave(h, &big));
	SAY(cpg_leave(h, &g));
	SAY(cpg_leave(h, &g));
	until(h, fd, &confchgs, before + 1);
	SAY(cpg_finalize(h));
	cpg_initialize(&h, &plain);
	cpg_fd_get(h, &fd);
	SAY(cpg_join(h, &other));
	until(h, fd, &confchgs, before + 2);
	send_text(h, "last");
	finalize_inside = 1;
	for (int i = 0; i < 500 && !readable(fd, 10); i++)
		;
	SAY(cpg_dispatch(h, CS_DISPATCH_ALL));
	finalize_inside = 0;

	SAY(cpg_finalize(STALE));
	SAY(cpg_fd_get(STALE, &fd));
	SAY(cpg_dispatch(STALE, CS_DISPATCH_ALL));
	SAY(cpg_join(STALE, &g));
	SAY(cpg_leave(STALE, &g));
	SAY(cpg_mcast_joined(STALE, CPG_TYPE_AGREED, &v, 1));
	SAY(cpg_membership_get(STALE, &g, list, &n));
	SAY(cpg_local_get(STALE, &node));
	SAY(cpg_context_get(STALE, &context));
	SAY(cpg_flow_control_state_get(STALE, &flow));
	SAY(cpg_max_atomic_msgsize_get(STALE, &size));
	SAY(cpg_iteration_next(STALE, &d));
	if (null) {
		SAY(cpg_initialize(NULL, &plain));
		cpg_initialize(&h, NULL);
		SAY(cpg_join(h, NULL));
		SAY(cpg_fd_get(h, NULL));
		SAY(cpg_local_get(h, NULL));
		SAY(cpg_context_get(h, NULL));
		SAY(cpg_dispatch(h, 9));
		SAY(cpg_zcb_alloc(h, 10, NULL));
		SAY(cpg_zcb_alloc(STALE, 10, &buffer));
		SAY(send_text(h, "not a member"));
		SAY(cpg_finalize(h));
	}
	free(large);
}

static void services(int null)
{
	corosync_cfg_handle_t cfg;
	cmap_handle_t map;
	quorum_handle_t quorum;
	votequorum_handle_t votes;
	uint32_t type = 9;
	unsigned node = 0;
	int fd = -1;
	cmap_iter_handle_t it;
	const void *context;
	struct votequorum_info info;

	SAY(corosync_cfg_initialize(&cfg, NULL));
	SAY(corosync_cfg_fd_get(cfg, &fd));
	peer(fd);
	printf(" readable %d\n", readable(fd, 50));
	SAY(corosync_cfg_local_get(cfg, &node));
	printf(" node %u\n", node);
	SAY(corosync_cfg_dispatch(cfg, CS_DISPATCH_ALL));
	SAY(corosync_cfg_dispatch(cfg, CS_DISPATCH_ONE_NONBLOCKING));
	SAY(corosync_cfg_node_status_get(cfg, 1, CFG_NODE_STATUS_V1, NULL));
	SAY(corosync_cfg_finalize(cfg));
	SAY(corosync_cfg_finalize(cfg));
	SAY(corosync_cfg_local_get(cfg, &node));

	SAY(cmap_initialize(&map));
	SAY(cmap_fd_get(map, &fd));
	peer(fd);
	SAY(cmap_context_set(map, (void *)5));
	SAY(cmap_context_get(map, &context));
	printf(" context %ld\n", (long)context);
	SAY(cmap_get(map, NULL, NULL, NULL, NULL));
	SAY(cmap_set(map, "a.key", NULL, 0, CMAP_VALUETYPE_STRING));
	SAY(cmap_set_string(map, "a.key", NULL));
	SAY(cmap_delete(map, NULL));
	SAY(cmap_inc(map, NULL));
	SAY(cmap_iter_init(map, NULL, NULL));
	SAY(cmap_dispatch(map, CS_DISPATCH_ALL));
	SAY(cmap_finalize(map));
	SAY(cmap_finalize(map));
	SAY(cmap_get(map, "a.key", NULL, NULL, NULL));
	SAY(cmap_iter_init(map, NULL, &it));

	SAY(quorum_finalize(STALE));
	SAY(quorum_fd_get(STALE, &fd));
	SAY(quorum_dispatch(STALE, CS_DISPATCH_ALL));
	SAY(quorum_trackstart(STALE, CS_TRACK_CHANGES));
	SAY(quorum_model_initialize(&quorum, 7, NULL, &type, NULL));
	SAY(votequorum_initialize(&votes, NULL));
	SAY(votequorum_fd_get(votes, &fd));
	peer(fd);
	if (null)
		SAY(votequorum_qdevice_register(votes, NULL));
	SAY(votequorum_dispatch(votes, CS_DISPATCH_ALL));
	SAY(votequorum_finalize(votes));
	SAY(votequorum_finalize(votes));
	SAY(votequorum_getinfo(votes, 0, &info));
	if (null) {
		SAY(cmap_initialize(NULL));
		SAY(cmap_initialize_map(&map, 3));
		SAY(quorum_initialize(&quorum, NULL, NULL));
		SAY(votequorum_initialize(NULL, NULL));
		SAY(corosync_cfg_initialize(NULL, NULL));
	}
	printf(" %s %s %s\n", cs_strerror(CS_OK), cs_strerror(CS_ERR_TRY_AGAIN), cs_strerror(29));
	SAY(qb_to_cs_error(-11));
	SAY(hdb_error_to_cs(-9));
}

/* The engine ends while we are connected. */
static void death(void)
{
	cpg_handle_t h;
	cpg_callbacks_t plain = {deliver, confchg};
	corosync_cfg_handle_t cfg;
	struct cpg_name g = name("death");
	int fd, cfd, before = confchgs;
	unsigned node;
	cpg_initialize(&h, &plain);
	cpg_fd_get(h, &fd);
	cpg_join(h, &g);
	until(h, fd, &confchgs, before + 1);
	corosync_cfg_initialize(&cfg, NULL);
	corosync_cfg_fd_get(cfg, &cfd);
	printf("now end the engine\n");
	fflush(stdout);
	getchar();
	printf(" cpg readable %d\n", readable(fd, 10000) & POLLIN);
	printf(" cfg readable %d\n", readable(cfd, 10000) & POLLIN);
	for (int i = 0; i < 1000 && cpg_dispatch(h, CS_DISPATCH_ALL) == CS_OK; i++)
		usleep(1000);
	SAY(cpg_dispatch(h, CS_DISPATCH_ALL));
	SAY(cpg_dispatch(h, CS_DISPATCH_BLOCKING));
	SAY(send_text(h, "to nobody"));
	SAY(cpg_local_get(h, &node));
	SAY(cpg_leave(h, &g));
	SAY(corosync_cfg_dispatch(cfg, CS_DISPATCH_ONE));
	SAY(corosync_cfg_local_get(cfg, &node));
	cpg_finalize(h);
	SAY(corosync_cfg_finalize(cfg));
	SAY(cpg_initialize(&h, &plain));
	SAY(corosync_cfg_initialize(&cfg, NULL));
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	int null = argc > 1 && strcmp(argv[1], "null") == 0;
	groups(null);
	services(null);
	death();
	return 0;
}
