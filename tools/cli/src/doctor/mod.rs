//! `synchrotron doctor`: looks at the host and says what to change, and how.

mod checks;

use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Good,
    /// The engine works, but not as well as it could.
    Advice,
    /// The engine will not start, or not stay up.
    Bad,
}

/// One finding.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    /// How it is.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it; empty when all is well.
    pub(crate) advice: String,
}

/// Looks at everything. Fails (exit code 1) if something is bad.
pub(crate) fn run(json: bool) -> anyhow::Result<()> {
    let findings = checks::all();
    if json {
        println!("{}", serde_json::to_string(&findings)?);
    } else {
        for finding in &findings {
            let mark = match finding.verdict {
                Verdict::Good => "ok    ",
                Verdict::Advice => "advice",
                Verdict::Bad => "BAD   ",
            };
            println!("{mark}  {:<16} {}", finding.check, finding.found);
            if !finding.advice.is_empty() {
                println!("        {:<16} -> {}", "", finding.advice);
            }
        }
    }
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    anyhow::ensure!(bad == 0, "{bad} of {} checks are bad", findings.len());
    Ok(())
}
