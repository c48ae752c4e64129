/*
 * Watches processes with libsam and says what happens: run over these libraries and over Corosync's, which say the same.
 *
 * Every case runs in a process of its own, which sam_register makes a watcher. Nothing rests on how fast anything is:
 * limits that must pass are short, others are far away.
 */
#include <corosync/cmap.h>
#include <corosync/sam.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Milliseconds of silence that pass soon, and that do not pass while a case runs. */
enum { SOON = 300, NEVER = 600000 };

#define SAY(...) dprintf(1, __VA_ARGS__)
#define CALL(call) SAY("  %s: %d\n", #call, (int)(call))
/* For what must work and is nothing to report. */
#define MUST(call) do { if ((call) != CS_OK) { SAY("  %s failed\n", #call); _exit(99); } } while (0)

static unsigned int instance;

static void silence(void)
{
	for (;;)
		pause();
}

static void bad_arguments(void)
{
	size_t size = 0;
	char room[4];

	CALL(sam_finalize());
	CALL(sam_start());
	CALL(sam_stop());
	CALL(sam_hc_send());
	CALL(sam_register(&instance));
	CALL(sam_mark_failed());
	CALL(sam_warn_signal_set(SIGUSR1));
	CALL(sam_hc_callback_register(NULL));
	CALL(sam_data_getsize(&size));
	CALL(sam_data_store("data", 4));
	CALL(sam_data_restore(room, sizeof(room)));
	CALL(sam_initialize(NEVER, 0));
	CALL(sam_initialize(NEVER, 3));
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUORUM));
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_CMAP));
	CALL(sam_initialize(NEVER, 0x20 | SAM_RECOVERY_POLICY_QUIT));
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUIT));
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUIT));
	CALL(sam_start());
	CALL(sam_stop());
	CALL(sam_hc_send());
	CALL(sam_mark_failed());
	CALL(sam_hc_callback_register(NULL));
	CALL(sam_data_getsize(NULL));
	CALL(sam_data_getsize(&size));
	CALL(sam_data_restore(NULL, 4));
	CALL(sam_data_restore(room, 0));
	CALL(sam_data_store("data", SIZE_MAX));
	CALL(sam_data_store("data", 4));
	CALL(sam_data_restore(room, 3));
	CALL(sam_data_restore(room, 4));
	CALL(sam_register(NULL));
	CALL(sam_register(NULL));
	CALL(sam_stop());
	CALL(sam_hc_send());
	CALL(sam_mark_failed());
	CALL(sam_hc_callback_register(NULL));
	CALL(sam_warn_signal_set(SIGUSR1));
	CALL(sam_start());
	CALL(sam_start());
	CALL(sam_hc_send());
	CALL(sam_hc_callback_register(NULL));
	CALL(sam_stop());
	CALL(sam_finalize());
	CALL(sam_finalize());
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUIT));
	exit(1);
}

static void quits_unwatched(void)
{
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_RESTART));
	CALL(sam_register(&instance));
	SAY("  instance %u\n", instance);
	exit(4);
}

static void quits(void)
{
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUIT));
	CALL(sam_register(&instance));
	CALL(sam_start());
	CALL(sam_hc_send());
	exit(5);
}

static void killed(void)
{
	CALL(sam_initialize(0, SAM_RECOVERY_POLICY_QUIT));
	CALL(sam_register(NULL));
	CALL(sam_start());
	kill(getpid(), SIGKILL);
}

static void starts_again(void)
{
	MUST(sam_initialize(0, SAM_RECOVERY_POLICY_RESTART));
	CALL(sam_register(&instance));
	SAY("  instance %u\n", instance);
	CALL(sam_start());
	if (instance < 3)
		exit(6);
	CALL(sam_stop());
	exit(7);
}

static void keeps_data(void)
{
	size_t size = 1, large = 1 << 20;
	char *room = calloc(1, large);

	MUST(sam_initialize(NEVER, SAM_RECOVERY_POLICY_RESTART));
	MUST(sam_data_store("before", 7));
	CALL(sam_register(&instance));
	MUST(sam_data_getsize(&size));
	MUST(sam_data_restore(room, large));
	SAY("  instance %u: %zu bytes, %.10s\n", instance, size, room);
	MUST(sam_start());
	switch (instance) {
	case 1:
		memset(room, 'x', large);
		CALL(sam_data_store(room, large));
		exit(1);
	case 2:
		CALL(sam_data_restore(room, large - 1));
		CALL(sam_data_store(room, 10));
		exit(1);
	case 3:
		CALL(sam_data_store(NULL, 5));
		CALL(sam_data_getsize(&size));
		exit(1);
	}
	MUST(sam_stop());
	exit(8);
}

static void warned(int signal)
{
	SAY("  warned: %s\n", signal == SIGTERM ? "SIGTERM" : signal == SIGUSR1 ? "SIGUSR1" : "otherwise");
}

static void is_silent(void)
{
	signal(SIGTERM, warned);
	signal(SIGUSR1, warned);
	MUST(sam_initialize(SOON, SAM_RECOVERY_POLICY_RESTART));
	MUST(sam_register(&instance));
	SAY("  instance %u\n", instance);
	if (instance == 4)
		exit(9);
	/* What the watcher is told holds for those who come after, too. */
	if (instance == 2)
		CALL(sam_warn_signal_set(SIGUSR1));
	MUST(sam_start());
	silence();
}

static int unwell(void)
{
	return -1;
}

static void says_it_is_unwell(void)
{
	MUST(sam_initialize(SOON, SAM_RECOVERY_POLICY_RESTART));
	MUST(sam_register(&instance));
	SAY("  instance %u\n", instance);
	if (instance == 1) {
		CALL(sam_hc_callback_register(unwell));
		CALL(sam_hc_callback_register(unwell));
		MUST(sam_start());
		silence();
	}
	exit(10);
}

static void has_no_limit(void)
{
	MUST(sam_initialize(0, SAM_RECOVERY_POLICY_QUIT));
	MUST(sam_register(NULL));
	CALL(sam_hc_callback_register(unwell));
	exit(11);
}

/* A key of the watcher's, as somebody else sees it. */
static void show(pid_t watcher, const char *name)
{
	cmap_handle_t cmap;
	char key[64], *text = NULL;
	uint64_t number = 0;

	MUST(cmap_initialize(&cmap));
	snprintf(key, sizeof(key), "resources.process.%d.%s", (int)watcher, name);
	if (cmap_get_string(cmap, key, &text) == CS_OK)
		SAY("  %s = %s\n", name, text);
	else if (cmap_get_uint64(cmap, key, &number) == CS_OK)
		SAY("  %s = %s\n", name, number == NEVER ? "as given" : number ? "a time" : "0");
	else
		SAY("  %s: none\n", name);
	free(text);
	cmap_finalize(cmap);
}

static void writes_down(void)
{
	MUST(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUIT | SAM_RECOVERY_POLICY_CMAP));
	CALL(sam_register(NULL));
	show(getppid(), "recovery");
	show(getppid(), "poll_period");
	show(getppid(), "last_updated");
	show(getppid(), "state");
	CALL(sam_start());
	show(getppid(), "last_updated");
	show(getppid(), "state");
	CALL(sam_stop());
	show(getppid(), "state");
	exit(12);
}

static void fails_and_writes_down(void)
{
	MUST(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUIT | SAM_RECOVERY_POLICY_CMAP));
	MUST(sam_register(NULL));
	MUST(sam_start());
	exit(13);
}

static void marks_itself_failed(void)
{
	MUST(sam_initialize(NEVER, SAM_RECOVERY_POLICY_RESTART | SAM_RECOVERY_POLICY_CMAP));
	MUST(sam_register(&instance));
	SAY("  instance %u\n", instance);
	show(getppid(), "recovery");
	/* What it returns may come too late to be said. */
	sam_mark_failed();
	silence();
}

static void has_a_quorum(void)
{
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUORUM_RESTART));
	CALL(sam_register(&instance));
	SAY("  instance %u\n", instance);
	CALL(sam_start());
	if (instance == 1)
		exit(1);
	CALL(sam_stop());
	exit(14);
}

static void loses_the_engine(void)
{
	MUST(sam_initialize(0, SAM_RECOVERY_POLICY_QUORUM_QUIT));
	MUST(sam_register(NULL));
	CALL(sam_start());
	SAY("now end the engine\n");
	silence();
}

static void finds_no_engine(void)
{
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUORUM_QUIT));
	CALL(sam_initialize(NEVER, SAM_RECOVERY_POLICY_QUIT | SAM_RECOVERY_POLICY_CMAP));
	CALL(sam_register(NULL));
	exit(15);
}

static void run(const char *name, void (*one)(void))
{
	int status;
	pid_t pid;

	SAY("%s\n", name);
	pid = fork();
	if (pid == 0) {
		one();
		exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status))
		SAY("  ended with %d\n", WEXITSTATUS(status));
	else
		SAY("  ended by signal %d\n", WTERMSIG(status));
	if (one == writes_down || one == fails_and_writes_down || one == marks_itself_failed)
		show(pid, "state");
}

int main(void)
{
#define RUN(one) run(#one, one)
	RUN(bad_arguments);
	RUN(quits_unwatched);
	RUN(quits);
	RUN(killed);
	RUN(starts_again);
	RUN(keeps_data);
	RUN(is_silent);
	RUN(says_it_is_unwell);
	RUN(has_no_limit);
	RUN(writes_down);
	RUN(fails_and_writes_down);
	RUN(marks_itself_failed);
	RUN(has_a_quorum);
	RUN(loses_the_engine);
	RUN(finds_no_engine);
	return 0;
}
