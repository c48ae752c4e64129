//! What a tool is called and accepts: help, manual pages and completions are written from it.

/// Of a tool.
#[derive(Debug)]
pub struct About {
    /// Its program's name.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What may follow the options; empty for nothing.
    pub words: &'static str,
    /// Its options.
    pub options: &'static [Flag],
    /// What more there is to say; empty for nothing.
    pub notes: &'static str,
}

/// An option of a tool.
#[derive(Debug)]
pub struct Flag {
    /// Behind one dash.
    pub letter: char,
    /// Behind two dashes; empty for none.
    pub long: &'static str,
    /// What its value is called; empty where it takes none.
    pub value: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// An option without a value and without a long name.
pub(crate) const fn flag(letter: char, help: &'static str) -> Flag {
    Flag { letter, long: "", value: "", help }
}

/// An option with a value.
pub(crate) const fn valued(letter: char, value: &'static str, help: &'static str) -> Flag {
    Flag { letter, long: "", value, help }
}

impl Flag {
    /// With a long name, too.
    pub(crate) const fn long(self, long: &'static str) -> Self {
        Self { long, ..self }
    }
}

impl About {
    /// The text of `-h`.
    pub(crate) fn help(&self) -> String {
        let words =
            if self.words.is_empty() { String::new() } else { format!(" [{}]", self.words) };
        let mut text =
            format!("usage: {} [options]{words}\n\n{}\n\noptions:\n", self.name, self.about);
        for flag in self.options {
            let value =
                if flag.value.is_empty() { String::new() } else { format!(" <{}>", flag.value) };
            let long =
                if flag.long.is_empty() { String::new() } else { format!(", --{}", flag.long) };
            text += &format!("  {:<28}{}\n", format!("-{}{long}{value}", flag.letter), flag.help);
        }
        if !self.notes.is_empty() {
            text += &format!("\n{}\n", self.notes);
        }
        text
    }
}
