/* Built with the headers and libraries of the development package: joins a group and hears its own message. */
#include <corosync/cfg.h>
#include <corosync/cmap.h>
#include <corosync/corodefs.h>
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <corosync/sam.h>
#include <corosync/votequorum.h>
#include <stdio.h>
#include <string.h>

static int heard;

static void deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t node, uint32_t pid, void *text,
		    size_t bytes)
{
	heard = bytes == 5 && memcmp(text, "hello", 5) == 0;
}

int main(void)
{
	cpg_callbacks_t callbacks = { deliver, NULL };
	struct cpg_name group = { 5, "group" };
	struct iovec hello = { "hello", 5 };
	cpg_handle_t handle;
	quorum_handle_t quorum;
	uint32_t type;
	int quorate = 0;

	if (cpg_initialize(&handle, &callbacks) != CS_OK || cpg_join(handle, &group) != CS_OK)
		return 1;
	if (cpg_mcast_joined(handle, CPG_TYPE_AGREED, &hello, 1) != CS_OK)
		return 2;
	while (!heard)
		if (cpg_dispatch(handle, CS_DISPATCH_ONE) != CS_OK)
			return 3;
	if (quorum_initialize(&quorum, NULL, &type) != CS_OK || quorum_getquorate(quorum, &quorate) != CS_OK)
		return 4;
	printf("heard, quorate %d\n", quorate);
	return cpg_finalize(handle) == CS_OK ? 0 : 5;
}
