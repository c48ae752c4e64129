//! Options as `getopt` reads them: letters that may be run together, their values, and words that follow.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use crate::seat::{Stop, Try};

/// What was found: letters in their order (with their values), and the words.
pub(crate) struct Options {
    pub(crate) letters: Vec<(char, String)>,
    pub(crate) words: Vec<String>,
}

/// Reads `args`. `letters` lists what is known, a colon after those with a value; `long` names that mean a
/// letter.
pub(crate) fn read(
    tool: &str,
    args: &[OsString],
    letters: &str,
    long: &[(&str, char)],
) -> Try<Options> {
    let takes = |letter: char| {
        letters.find(letter).map(|at| letters[at + letter.len_utf8()..].starts_with(':'))
    };
    let mut found = Options { letters: Vec::new(), words: Vec::new() };
    let mut parser = Parser::from_args(args);
    loop {
        let next = parser.next().map_err(|error| Stop(format!("{tool}: {error}")))?;
        let letter = match next {
            None => return Ok(found),
            Some(Arg::Value(word)) => {
                found.words.push(word.to_string_lossy().into_owned());
                continue;
            }
            Some(Arg::Short(letter)) if takes(letter).is_some() && letter != ':' => letter,
            Some(Arg::Short(letter)) => {
                return Err(Stop(format!("{tool}: invalid option -- '{letter}'")));
            }
            Some(Arg::Long(name)) => match long.iter().find(|(known, _)| *known == name) {
                Some((_, letter)) => *letter,
                None => return Err(Stop(format!("{tool}: unrecognized option '--{name}'"))),
            },
        };
        let value = if takes(letter) == Some(true) {
            let missing = |_| Stop(format!("{tool}: option requires an argument -- '{letter}'"));
            parser.value().map_err(missing)?.to_string_lossy().into_owned()
        } else {
            String::new()
        };
        found.letters.push((letter, value));
    }
}
