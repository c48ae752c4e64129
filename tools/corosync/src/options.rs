//! Options as `getopt` reads them: letters that may be run together, their values, and words that follow.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use crate::about::About;
use crate::seat::{Stop, Try};

/// What was found: letters in their order (with their values), and the words.
pub(crate) struct Options {
    pub(crate) letters: Vec<(char, String)>,
    pub(crate) words: Vec<String>,
}

/// Reads `args` as `tool` takes them.
pub(crate) fn read(tool: &About, args: &[OsString]) -> Try<Options> {
    let name = tool.name;
    let known = |letter: char| tool.options.iter().find(|flag| flag.letter == letter);
    let mut found = Options { letters: Vec::new(), words: Vec::new() };
    let mut parser = Parser::from_args(args);
    loop {
        let next = parser.next().map_err(|error| Stop(format!("{name}: {error}")))?;
        let flag = match next {
            None => return Ok(found),
            Some(Arg::Value(word)) => {
                found.words.push(word.to_string_lossy().into_owned());
                continue;
            }
            Some(Arg::Short(letter)) => known(letter)
                .ok_or_else(|| Stop(format!("{name}: invalid option -- '{letter}'")))?,
            Some(Arg::Long(long)) => tool
                .options
                .iter()
                .find(|flag| !flag.long.is_empty() && flag.long == long)
                .ok_or_else(|| Stop(format!("{name}: unrecognized option '--{long}'")))?,
        };
        let letter = flag.letter;
        let value = if flag.value.is_empty() {
            String::new()
        } else {
            let missing = |_| Stop(format!("{name}: option requires an argument -- '{letter}'"));
            parser.value().map_err(missing)?.to_string_lossy().into_owned()
        };
        found.letters.push((letter, value));
    }
}
