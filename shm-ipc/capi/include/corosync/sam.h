/* Watching a process and starting it again. SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SYNCHROTRON_SAM_H
#define SYNCHROTRON_SAM_H

#include <corosync/corotypes.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What follows a failure: one of the first two, and any of the flags. */
typedef enum {
	/* The watcher ends, too. */
	SAM_RECOVERY_POLICY_QUIT = 1,
	/* The process is started again. */
	SAM_RECOVERY_POLICY_RESTART = 2,
	/* A flag: sam_start waits for a quorum, and losing it is a failure. */
	SAM_RECOVERY_POLICY_QUORUM = 0x08,
	SAM_RECOVERY_POLICY_QUORUM_QUIT = SAM_RECOVERY_POLICY_QUORUM | SAM_RECOVERY_POLICY_QUIT,
	SAM_RECOVERY_POLICY_QUORUM_RESTART = SAM_RECOVERY_POLICY_QUORUM | SAM_RECOVERY_POLICY_RESTART,
	/* A flag: resources.process.PID.{recovery,poll_period,last_updated,state} say how it goes. */
	SAM_RECOVERY_POLICY_CMAP = 0x10,
	SAM_RECOVERY_POLICY_CONFDB = 0x10
} sam_recovery_policy_t;

/* 0: this process is well. */
typedef int (*sam_hc_callback_t)(void);

/* time_interval: after how many milliseconds of silence a process has failed; 0: never. */
cs_error_t sam_initialize(int time_interval, sam_recovery_policy_t recovery_policy);
cs_error_t sam_finalize(void);

/* Forks: the process that returns is watched by the one that called. instance_id counts them from 1; it may be NULL. */
cs_error_t sam_register(unsigned int *instance_id);

/* Watching begins and ends. In between the process calls sam_hc_send, or its callback answers for it. */
cs_error_t sam_start(void);
cs_error_t sam_stop(void);
cs_error_t sam_hc_send(void);
cs_error_t sam_hc_callback_register(sam_hc_callback_t cb);

/* What a process gets before SIGKILL; SIGTERM unless set. */
cs_error_t sam_warn_signal_set(int warn_signal);

/* Data for the processes that come after this one. */
cs_error_t sam_data_getsize(size_t *size);
cs_error_t sam_data_restore(void *data, size_t size);
cs_error_t sam_data_store(const void *data, size_t size);

/* Ends this process for good; needs SAM_RECOVERY_POLICY_CMAP. */
cs_error_t sam_mark_failed(void);

#ifdef __cplusplus
}
#endif

#endif
