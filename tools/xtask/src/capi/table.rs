//! What each of Corosync's libraries is called and exports.

/// A shared object.
pub(crate) struct Library {
    /// `libNAME.so`.
    pub(crate) name: &'static str,
    /// Of the soname.
    pub(crate) major: u32,
    /// Of the file's name, behind the soname.
    pub(crate) minor: &'static str,
    /// What it is for, in the pkg-config file.
    pub(crate) about: &'static str,
    /// Version nodes, each inheriting the one before, and the symbols in them. Without a name: no versions.
    pub(crate) nodes: &'static [(&'static str, &'static [&'static str])],
}

impl Library {
    pub(crate) fn soname(&self) -> String {
        format!("lib{}.so.{}", self.name, self.major)
    }

    pub(crate) fn file(&self) -> String {
        format!("{}.{}", self.soname(), self.minor)
    }

    /// The Debian package that has Corosync's.
    pub(crate) fn debian_package(&self) -> String {
        format!("lib{}{}", self.name.replace('_', "-"), self.major)
    }

    /// Every symbol with its version.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.nodes.iter().flat_map(|(node, symbols)| symbols.iter().map(move |s| (*s, *node)))
    }

    /// The linker's version script. Programs built with Corosync up to 3.1.7 ask for some of these symbols without a
    /// version and bind to the default one, which is ours; newer ones ask for all with the version they have here.
    pub(crate) fn version_script(&self) -> String {
        let mut script = String::new();
        let mut previous = "";
        for (at, (node, symbols)) in self.nodes.iter().enumerate() {
            let local = if at == 0 { " local: *;" } else { "" };
            script += &format!("{node} {{ global: {};{local} }} {previous};\n", symbols.join("; "));
            previous = node;
        }
        script
    }
}

/// All of them.
pub(crate) const LIBRARIES: &[Library] = &[
    Library {
        name: "corosync_common",
        major: 4,
        minor: "0.0",
        about: "what the others share",
        nodes: &[("", &["cs_strerror", "hdb_error_to_cs", "qb_to_cs_error"])],
    },
    Library {
        name: "cpg",
        major: 4,
        minor: "1.0",
        about: "closed process groups",
        nodes: &[(
            "COROSYNC_CPG_1.0",
            &[
                "cpg_context_get",
                "cpg_context_set",
                "cpg_dispatch",
                "cpg_fd_get",
                "cpg_finalize",
                "cpg_flow_control_state_get",
                "cpg_initialize",
                "cpg_iteration_finalize",
                "cpg_iteration_initialize",
                "cpg_iteration_next",
                "cpg_join",
                "cpg_leave",
                "cpg_local_get",
                "cpg_max_atomic_msgsize_get",
                "cpg_mcast_joined",
                "cpg_membership_get",
                "cpg_model_initialize",
                "cpg_zcb_alloc",
                "cpg_zcb_free",
                "cpg_zcb_mcast_joined",
            ],
        )],
    },
    Library {
        name: "quorum",
        major: 5,
        minor: "1.0",
        about: "quorum",
        nodes: &[(
            "COROSYNC_QUORUM_1.0",
            &[
                "quorum_context_get",
                "quorum_context_set",
                "quorum_dispatch",
                "quorum_fd_get",
                "quorum_finalize",
                "quorum_getquorate",
                "quorum_initialize",
                "quorum_model_initialize",
                "quorum_trackstart",
                "quorum_trackstop",
            ],
        )],
    },
    Library {
        name: "votequorum",
        major: 8,
        minor: "1.0",
        about: "the votes behind quorum",
        nodes: &[
            (
                "COROSYNC_VOTEQUORUM_1.0",
                &[
                    "votequorum_context_get",
                    "votequorum_context_set",
                    "votequorum_dispatch",
                    "votequorum_fd_get",
                    "votequorum_finalize",
                    "votequorum_getinfo",
                    "votequorum_initialize",
                    "votequorum_qdevice_master_wins",
                    "votequorum_qdevice_poll",
                    "votequorum_qdevice_register",
                    "votequorum_qdevice_unregister",
                    "votequorum_qdevice_update",
                    "votequorum_setexpected",
                    "votequorum_setvotes",
                    "votequorum_trackstart",
                    "votequorum_trackstop",
                ],
            ),
            (
                "COROSYNC_VOTEQUORUM_1.1",
                &[
                    "votequorum_get_qdevice_extra_info",
                    "votequorum_model_initialize",
                    "votequorum_set_qdevice_extra_info",
                ],
            ),
        ],
    },
    Library {
        name: "cfg",
        major: 7,
        minor: "3.0",
        about: "administration",
        nodes: &[(
            "COROSYNC_CFG_0.82",
            &[
                "corosync_cfg_dispatch",
                "corosync_cfg_fd_get",
                "corosync_cfg_finalize",
                "corosync_cfg_get_node_addrs",
                "corosync_cfg_initialize",
                "corosync_cfg_kill_node",
                "corosync_cfg_local_get",
                "corosync_cfg_node_status_get",
                "corosync_cfg_reload_config",
                "corosync_cfg_reopen_log_files",
                "corosync_cfg_replyto_shutdown",
                "corosync_cfg_ring_status_get",
                "corosync_cfg_trackstart",
                "corosync_cfg_trackstop",
                "corosync_cfg_try_shutdown",
            ],
        )],
    },
    Library {
        name: "cmap",
        major: 4,
        minor: "1.0",
        about: "the configuration map",
        nodes: &[(
            "COROSYNC_CMAP_1.0",
            &[
                "cmap_context_get",
                "cmap_context_set",
                "cmap_dec",
                "cmap_delete",
                "cmap_dispatch",
                "cmap_fd_get",
                "cmap_finalize",
                "cmap_get",
                "cmap_get_double",
                "cmap_get_float",
                "cmap_get_int16",
                "cmap_get_int32",
                "cmap_get_int64",
                "cmap_get_int8",
                "cmap_get_string",
                "cmap_get_uint16",
                "cmap_get_uint32",
                "cmap_get_uint64",
                "cmap_get_uint8",
                "cmap_inc",
                "cmap_initialize",
                "cmap_initialize_map",
                "cmap_iter_finalize",
                "cmap_iter_init",
                "cmap_iter_next",
                "cmap_set",
                "cmap_set_double",
                "cmap_set_float",
                "cmap_set_int16",
                "cmap_set_int32",
                "cmap_set_int64",
                "cmap_set_int8",
                "cmap_set_string",
                "cmap_set_uint16",
                "cmap_set_uint32",
                "cmap_set_uint64",
                "cmap_set_uint8",
                "cmap_track_add",
                "cmap_track_delete",
            ],
        )],
    },
    Library {
        name: "sam",
        major: 4,
        minor: "4.0",
        about: "watching a process",
        nodes: &[(
            "COROSYNC_SAM_1.0",
            &[
                "sam_data_getsize",
                "sam_data_restore",
                "sam_data_store",
                "sam_finalize",
                "sam_hc_callback_register",
                "sam_hc_send",
                "sam_initialize",
                "sam_mark_failed",
                "sam_register",
                "sam_start",
                "sam_stop",
                "sam_warn_signal_set",
            ],
        )],
    },
];
