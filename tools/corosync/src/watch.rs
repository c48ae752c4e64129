//! What `corosync-quorumtool` says while it watches, and what quorum devices have to say for themselves.

/// What is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// Whether there is a quorum.
    pub(crate) quorum: bool,
    /// What quorum devices have to say.
    pub(crate) extra: bool,
}

impl Watch {
    /// The letters of `-W`; `None` if none of them is known.
    pub(crate) fn from_letters(letters: &str) -> Option<Self> {
        let watch = Self { quorum: letters.contains('q'), extra: letters.contains('x') };
        (watch != Self::default()).then_some(watch)
    }
}

/// Extra information as people read it: text if it is text that ends with a zero byte.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let printable = |text: &&[u8]| text.iter().all(|b| (b' '..=b'~').contains(b));
    match bytes {
        [] => "<unset>".to_owned(),
        [text @ .., 0] if printable(&text) => String::from_utf8_lossy(text).into_owned(),
        bytes => {
            let words: Vec<String> = bytes.iter().map(|b| format!("{b:02X} ")).collect();
            format!("{} bytes: {}", bytes.len(), words.concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_information_is_text_or_bytes_or_nothing() {
        assert_eq!(shown(b""), "<unset>");
        assert_eq!(shown(b"a b\0"), "a b");
        assert_eq!(shown(b"ab"), "2 bytes: 61 62 ");
        assert_eq!(shown(b"a\nb\0"), "4 bytes: 61 0A 62 00 ");
    }

    #[test]
    fn letters_say_what_is_watched() {
        assert_eq!(Watch::from_letters("qx"), Some(Watch { quorum: true, extra: true }));
        assert_eq!(Watch::from_letters("x"), Some(Watch { quorum: false, extra: true }));
        assert_eq!(Watch::from_letters("y"), None);
    }
}
