//! The node list as the configuration map has it.

use services::Failure;
use services::cmap::Map;

use crate::engine::Ask;

/// Positions and ids in the list, in the order of the map's keys.
pub(crate) fn listed(engine: &mut dyn Ask) -> Result<Vec<(u32, u32)>, Failure> {
    let mut nodes = Vec::new();
    for key in engine.keys(Map::Config, "nodelist.node.")? {
        let position = key
            .strip_prefix("nodelist.node.")
            .and_then(|rest| rest.strip_suffix(".nodeid"))
            .and_then(|position| position.parse().ok());
        if let Some(position) = position
            && let Some(id) = engine.number(&key)
        {
            nodes.push((position, id));
        }
    }
    Ok(nodes)
}

/// The name the list has for a node.
pub(crate) fn name(engine: &mut dyn Ask, node: u32) -> Option<String> {
    let (position, _) = listed(engine).ok()?.into_iter().find(|(_, id)| *id == node)?;
    engine.text(&format!("nodelist.node.{position}.name"))
}
