//! What Pacemaker shows of itself.

use crate::site::Site;

/// What `crm_mon` says about the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Who coordinates.
    pub(crate) coordinator: Option<String>,
    /// Whether that part has a quorum.
    pub(crate) quorate: bool,
    /// Names of the nodes that are online.
    pub(crate) online: Vec<String>,
}

impl View {
    /// As seen from a machine; nothing while Pacemaker does not answer there.
    pub(crate) fn at(site: &Site, index: usize) -> Self {
        site.run(index, "/usr/sbin/crm_mon -1").map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let mut view = Self::default();
        for line in text.lines() {
            let line = line.trim().trim_start_matches("* ");
            if let Some(rest) = line.strip_prefix("Current DC: ") {
                let name = rest.split_whitespace().next().unwrap_or_default();
                view.coordinator = (name != "NONE").then(|| name.to_owned());
                view.quorate = rest.contains("partition with quorum");
            } else if let Some(rest) = line.strip_prefix("Online: [") {
                view.online = rest
                    .split_whitespace()
                    .filter(|word| *word != "]")
                    .map(str::to_owned)
                    .collect();
            }
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_understood() {
        let view = View::parse(
            "Cluster Summary:\n  * Current DC: n3 (version 2.1.5-a3f44794f94) - partition with quorum\n\
             Node List:\n  * Node n2: UNCLEAN (offline)\n  * Online: [ n1 n3 ]\n",
        );
        assert_eq!(view.coordinator.as_deref(), Some("n3"));
        assert!(view.quorate);
        assert_eq!(view.online, ["n1", "n3"]);
        let none = View::parse("  * Current DC: NONE\n");
        assert_eq!(none, View::default());
        let lost = View::parse("  * Current DC: n1 (version 2) - partition WITHOUT quorum\n");
        assert!(!lost.quorate);
    }
}
