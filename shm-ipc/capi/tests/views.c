/*
 * One on each node of a cluster: follows a process group, the quorum and the votes, and says what they agree on. What
 * Corosync's clients rely on is checked with every event; a line that begins with "wrong" is a finding.
 *
 * The same program runs over Corosync's libraries and these.
 */
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMBERS_MAX = 64 };

/* A ring as one of the services told it, with how many nodes. */
struct ring {
	uint32_t nodeid;
	uint64_t seq;
	uint32_t nodes;
};

static struct ring of_cpg, of_quorum, of_votes, of_decision;
static uint32_t quorate;
static struct cpg_address members[MEMBERS_MAX];
static size_t members_count;
/* Changes of the group since the last ring, by why members left and came. */
static unsigned int down, up, joined_myself;
static uint32_t me;

#define WRONG(...) (printf("wrong: " __VA_ARGS__), putchar('\n'), fflush(stdout))

static int same(struct ring a, struct ring b)
{
	return a.nodeid == b.nodeid && a.seq == b.seq && a.nodes == b.nodes;
}

static int is_there(const struct cpg_address *list, size_t count, struct cpg_address one)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].nodeid == one.nodeid && list[i].pid == one.pid)
			return 1;
	return 0;
}

static void confchg(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *now, size_t now_count,
		    const struct cpg_address *left, size_t left_count, const struct cpg_address *joined,
		    size_t joined_count)
{
	struct cpg_address myself = { .nodeid = me, .pid = (uint32_t)getpid() };
	int down_here = 0, up_here = 0;

	for (size_t i = 1; i < now_count; i++)
		if (now[i - 1].nodeid > now[i].nodeid ||
		    (now[i - 1].nodeid == now[i].nodeid && now[i - 1].pid >= now[i].pid))
			WRONG("members are not in order");
	for (size_t i = 0; i < left_count; i++) {
		if (is_there(now, now_count, left[i]))
			WRONG("who left is a member");
		if (!is_there(members, members_count, left[i]))
			WRONG("who left was not there");
		down_here += left[i].reason == CPG_REASON_NODEDOWN;
	}
	for (size_t i = 0; i < joined_count; i++) {
		if (!is_there(now, now_count, joined[i]))
			WRONG("who joined is no member");
		if (is_there(members, members_count, joined[i]))
			WRONG("node %u comes up without having gone down", joined[i].nodeid);
		up_here += joined[i].reason == CPG_REASON_NODEUP;
	}
	if (!joined_myself) {
		if (!is_there(joined, joined_count, myself) || !is_there(now, now_count, myself))
			WRONG("the first change does not have this process");
		for (size_t i = 0; i < joined_count; i++)
			if (joined[i].nodeid == me && joined[i].reason != CPG_REASON_JOIN)
				WRONG("this process joined for another reason: %u", joined[i].reason);
		joined_myself = 1;
	} else if (now_count != members_count + joined_count - left_count)
		WRONG("%zu members, %zu left, %zu joined: %zu members", members_count, left_count, joined_count,
		      now_count);
	if (down_here && up_here)
		WRONG("nodes go down and come up in one change");
	if (down_here && ++down > 1)
		WRONG("nodes go down in more than one change");
	if (up_here && ++up > 1)
		WRONG("nodes come up in more than one change");
	if (now_count > MEMBERS_MAX)
		exit(1);
	memcpy(members, now, now_count * sizeof(*now));
	members_count = now_count;
}

static void totem(cpg_handle_t handle, struct cpg_ring_id ring, uint32_t count, const uint32_t *nodes)
{
	of_cpg = (struct ring){ ring.nodeid, ring.seq, count };
	if (count == 0 || nodes[0] != ring.nodeid)
		WRONG("the ring is called after %u, its first node is another one", ring.nodeid);
}

static void quorum_changed(quorum_handle_t handle, uint32_t is_quorate, struct quorum_ring_id ring, uint32_t count,
			   const uint32_t *nodes)
{
	of_decision = (struct ring){ ring.nodeid, ring.seq, count };
	quorate = is_quorate;
	if (of_quorum.nodes && !same(of_decision, of_quorum))
		WRONG("quorum in ring %u.%llu before its nodes", ring.nodeid, (unsigned long long)ring.seq);
}

static void nodes_changed(quorum_handle_t handle, struct quorum_ring_id ring, uint32_t count, const uint32_t *nodes,
			  uint32_t joined_count, const uint32_t *joined, uint32_t left_count, const uint32_t *left)
{
	of_quorum = (struct ring){ ring.nodeid, ring.seq, count };
	for (uint32_t i = 0; i < joined_count; i++) {
		uint32_t at = 0;

		while (at < count && nodes[at] != joined[i])
			at++;
		if (at == count)
			WRONG("node %u joined and is not there", joined[i]);
	}
}

static void votes_changed(votequorum_handle_t handle, uint64_t context, uint32_t is_quorate, uint32_t count,
			  votequorum_node_t *nodes)
{
	if (context != 77)
		WRONG("the context of votes is %llu", (unsigned long long)context);
}

static void vote_nodes_changed(votequorum_handle_t handle, uint64_t context, votequorum_ring_id_t ring, uint32_t count,
			       uint32_t *nodes)
{
	of_votes = (struct ring){ ring.nodeid, ring.seq, count };
}

static void must(cs_error_t result, const char *what)
{
	if (result == CS_OK)
		return;
	WRONG("%s: %d", what, (int)result);
	exit(1);
}

int main(void)
{
	cpg_model_v1_data_t cpg_model = { CPG_MODEL_V1, NULL, confchg, totem, CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF };
	quorum_model_v1_data_t quorum_model = { QUORUM_MODEL_V1, quorum_changed, nodes_changed };
	votequorum_callbacks_t votes_callbacks = { votes_changed, NULL, vote_nodes_changed };
	struct cpg_name group = { 6, "views" };
	struct pollfd fds[3];
	cpg_handle_t cpg;
	quorum_handle_t quorum;
	votequorum_handle_t votes;
	uint32_t type;

	must(cpg_model_initialize(&cpg, CPG_MODEL_V1, (cpg_model_data_t *)&cpg_model, NULL), "cpg");
	must(cpg_local_get(cpg, &me), "cpg_local_get");
	must(quorum_model_initialize(&quorum, QUORUM_MODEL_V1, (quorum_model_data_t *)&quorum_model, &type, NULL),
	     "quorum");
	must(votequorum_initialize(&votes, &votes_callbacks), "votequorum");
	must(cpg_join(cpg, &group), "cpg_join");
	must(quorum_trackstart(quorum, CS_TRACK_CHANGES), "quorum_trackstart");
	must(votequorum_trackstart(votes, 77, CS_TRACK_CHANGES), "votequorum_trackstart");
	must(cpg_fd_get(cpg, &fds[0].fd), "cpg_fd_get");
	must(quorum_fd_get(quorum, &fds[1].fd), "quorum_fd_get");
	must(votequorum_fd_get(votes, &fds[2].fd), "votequorum_fd_get");
	fds[0].events = fds[1].events = fds[2].events = POLLIN;
	for (;;) {
		struct ring before = of_cpg;

		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents)
			must(cpg_dispatch(cpg, CS_DISPATCH_ALL), "cpg_dispatch");
		if (fds[1].revents)
			must(quorum_dispatch(quorum, CS_DISPATCH_ALL), "quorum_dispatch");
		if (fds[2].revents)
			must(votequorum_dispatch(votes, CS_DISPATCH_ALL), "votequorum_dispatch");
		if (!same(before, of_cpg))
			down = up = 0;
		if (of_cpg.nodes && same(of_cpg, of_quorum) && same(of_cpg, of_votes) && same(of_cpg, of_decision)) {
			printf("ring %u.%llu of %u, group of %zu, %s\n", of_cpg.nodeid, (unsigned long long)of_cpg.seq,
			       of_cpg.nodes, members_count, quorate ? "quorate" : "not quorate");
			fflush(stdout);
		}
	}
}
