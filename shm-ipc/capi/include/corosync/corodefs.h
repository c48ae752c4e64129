/* Numbers of Corosync's services and its limits. SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SYNCHROTRON_CORODEFS_H
#define SYNCHROTRON_CORODEFS_H

#include <netinet/in.h>

/* As runtime.services.NAME.service_id has them. */
enum corosync_service_types {
	CMAP_SERVICE = 0,
	CFG_SERVICE = 1,
	CPG_SERVICE = 2,
	QUORUM_SERVICE = 3,
	PLOAD_SERVICE = 4,
	VOTEQUORUM_SERVICE = 5,
	MON_SERVICE = 6,
	WD_SERVICE = 7
};

/* For how many nodes programs make room. */
#define PROCESSOR_COUNT_MAX 384

/* Bytes of an address. */
#define TOTEMIP_ADDRLEN (sizeof(struct in6_addr))

#endif
