//! A power switch for machines: a fence agent as Pacemaker wants one, and the hand that pulls the cable.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Name of the agent.
pub(crate) const AGENT: &str = "fence_site";

/// The agent. It asks by a file in the desk's directory, named after the machine, and waits until that is gone.
const SCRIPT: &str = r#"#!/bin/sh
action=reboot
target=
while [ $# -gt 0 ]; do
  case $1 in
  -o) action=$2; shift ;;
  --action=*) action=${1#*=} ;;
  esac
  shift
done
while read -r line; do
  case $line in
  action=*) action=${line#*=} ;;
  port=* | plug=* | nodename=*) target=${line#*=} ;;
  esac
done
case $action in
metadata)
  cat <<XML
<?xml version="1.0" ?>
<resource-agent name="fence_site" shortdesc="Power switch of machines made of namespaces">
<longdesc>Ends every process of a machine.</longdesc>
<parameters>
<parameter name="action">
<content type="string" default="reboot"/><shortdesc lang="en">What to do</shortdesc>
</parameter>
<parameter name="port"><content type="string"/><shortdesc lang="en">Which machine</shortdesc></parameter>
</parameters>
<actions>
<action name="on"/><action name="off"/><action name="reboot"/><action name="status"/>
<action name="monitor"/><action name="list"/><action name="metadata"/>
</actions>
</resource-agent>
XML
  ;;
off | reboot)
  [ -n "$target" ] || exit 1
  : >"DESK/$target"
  while [ -e "DESK/$target" ]; do sleep 0.01; done
  ;;
esac
exit 0
"#;

/// Where requests lie.
pub(crate) struct Desk {
    requests: PathBuf,
}

impl Desk {
    /// Writes the agent into `sbin`; requests will lie in `requests`.
    ///
    /// # Errors
    /// When files cannot be written.
    pub(crate) fn open(requests: &Path, sbin: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(requests)?;
        fs::create_dir_all(sbin)?;
        let agent = sbin.join(AGENT);
        fs::write(&agent, SCRIPT.replace("DESK", &requests.display().to_string()))?;
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755))?;
        Ok(Self { requests: requests.to_owned() })
    }

    /// Whether somebody wants this machine off.
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        self.requests.join(name).exists()
    }

    /// It is off.
    ///
    /// # Errors
    /// When the request cannot be removed.
    pub(crate) fn done(&self, name: &str) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.requests.join(name))?)
    }
}
