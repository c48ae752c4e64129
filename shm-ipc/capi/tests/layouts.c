/* Sizes and offsets of every structure that programs and libraries share. */
#include <corosync/cfg.h>
#include <corosync/cmap.h>
#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("%s %zu\n", #type, sizeof(type))
#define FIELD(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(type, field))

int main(void)
{
	SIZE(cs_error_t);
	SIZE(cs_name_t);
	SIZE(cs_dispatch_flags_t);
	SIZE(cpg_handle_t);
	SIZE(struct cpg_address);
	FIELD(struct cpg_address, reason);
	SIZE(struct cpg_name);
	FIELD(struct cpg_name, value);
	SIZE(struct cpg_iteration_description_t);
	FIELD(struct cpg_iteration_description_t, nodeid);
	FIELD(struct cpg_iteration_description_t, pid);
	SIZE(struct cpg_ring_id);
	FIELD(struct cpg_ring_id, seq);
	SIZE(cpg_callbacks_t);
	FIELD(cpg_callbacks_t, cpg_confchg_fn);
	SIZE(cpg_model_v1_data_t);
	FIELD(cpg_model_v1_data_t, cpg_deliver_fn);
	FIELD(cpg_model_v1_data_t, cpg_totem_confchg_fn);
	FIELD(cpg_model_v1_data_t, flags);
	SIZE(struct quorum_ring_id);
	FIELD(struct quorum_ring_id, seq);
	SIZE(quorum_callbacks_t);
	SIZE(quorum_model_v0_data_t);
	FIELD(quorum_model_v0_data_t, quorum_notify_fn);
	SIZE(quorum_model_v1_data_t);
	FIELD(quorum_model_v1_data_t, nodelist_notify_fn);
	SIZE(struct votequorum_info);
	FIELD(struct votequorum_info, highest_expected);
	FIELD(struct votequorum_info, flags);
	FIELD(struct votequorum_info, qdevice_name);
	SIZE(votequorum_node_t);
	SIZE(votequorum_ring_id_t);
	FIELD(votequorum_ring_id_t, seq);
	SIZE(votequorum_callbacks_t);
	FIELD(votequorum_callbacks_t, votequorum_quorum_notify_fn);
	FIELD(votequorum_callbacks_t, votequorum_expectedvotes_notify_fn);
	FIELD(votequorum_callbacks_t, votequorum_nodelist_notify_fn);
	SIZE(corosync_cfg_callbacks_t);
	SIZE(corosync_cfg_node_address_t);
	FIELD(corosync_cfg_node_address_t, address);
	SIZE(struct corosync_knet_link_status_v1);
	FIELD(struct corosync_knet_link_status_v1, mtu);
	FIELD(struct corosync_knet_link_status_v1, src_ipaddr);
	FIELD(struct corosync_knet_link_status_v1, dst_ipaddr);
	SIZE(struct corosync_cfg_node_status_v1);
	FIELD(struct corosync_cfg_node_status_v1, reachable);
	FIELD(struct corosync_cfg_node_status_v1, onwire_ver);
	FIELD(struct corosync_cfg_node_status_v1, link_status);
	SIZE(struct cmap_notify_value);
	FIELD(struct cmap_notify_value, len);
	FIELD(struct cmap_notify_value, data);
	return 0;
}
