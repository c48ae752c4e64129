//! Going through all groups and their members.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::types::{CpgIterationDescription, CpgName};
use super::{HANDLES, STRANGE};
use crate::edge::{guard, lock, put};
use crate::error::{CsError, INVALID_PARAM, NO_SECTIONS};
use crate::handles::Table;

static ITERATIONS: Table<Mutex<VecDeque<CpgIterationDescription>>> = Table::new();

/// `cpg_iteration_type_t`.
const NAME_ONLY: i32 = 1;
const ONE_GROUP: i32 = 2;
const ALL: i32 = 3;

/// Begins. What is gone through is what there was at this moment.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_iteration_initialize(
    handle: u64,
    kind: i32,
    group: *const CpgName,
    iteration: *mut u64,
) -> CsError {
    guard(|| {
        let name = if group.is_null() { None } else { Some(CpgName::read(group)?) };
        let known = [NAME_ONLY, ONE_GROUP, ALL].contains(&kind);
        if iteration.is_null() || !known || (kind == ONE_GROUP) != name.is_some() {
            return Err(INVALID_PARAM);
        }
        let instance = HANDLES.get(handle)?;
        let services::cpg::Answer::Groups(groups) = instance.ask(services::cpg::Request::Groups)?
        else {
            return Err(STRANGE);
        };
        let mut found = VecDeque::new();
        for group in groups {
            if name.as_ref().is_some_and(|name| *name != group.name) {
                continue;
            }
            let name = CpgName::new(&group.name);
            let entry = |nodeid, pid| CpgIterationDescription { group: name, nodeid, pid };
            if kind == NAME_ONLY {
                found.push_back(entry(0, 0));
            } else {
                found.extend(group.members.iter().map(|member| entry(member.node, member.pid)));
            }
        }
        put(iteration, ITERATIONS.insert(Arc::new(Mutex::new(found))))
    })
}

/// Goes on; `NO_SECTIONS` at the end.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_iteration_next(
    iteration: u64,
    description: *mut CpgIterationDescription,
) -> CsError {
    guard(|| {
        if description.is_null() {
            return Err(INVALID_PARAM);
        }
        let found = ITERATIONS.get(iteration)?;
        let next = lock(&found).pop_front();
        put(description, next.ok_or(NO_SECTIONS)?)
    })
}

/// Ends.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_iteration_finalize(iteration: u64) -> CsError {
    guard(|| ITERATIONS.remove(iteration).map(drop))
}
