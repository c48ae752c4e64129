//! The library and its functions.

use std::ffi::OsStr;
use std::sync::Arc;

use libloading::Symbol;

use crate::abi;

/// The name under which the dynamic linker knows it.
const NAME: &str = "libcpg.so.4";

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name} cannot be loaded: {source}")]
pub struct LoadError {
    /// What was to be loaded.
    pub name: String,
    /// What the dynamic linker says.
    pub source: libloading::Error,
}

/// The library, loaded. It stays so as long as this lives.
pub struct Library {
    pub(crate) initialize: abi::Initialize,
    pub(crate) finalize: abi::Finalize,
    pub(crate) fd_get: abi::FdGet,
    pub(crate) join: abi::Join,
    pub(crate) mcast_joined: abi::McastJoined,
    pub(crate) dispatch: abi::Dispatch,
    pub(crate) local_get: abi::LocalGet,
    /// Last, so that nothing above outlives it.
    _library: libloading::Library,
}

impl Library {
    /// Loads the system's library, or the one at `path`.
    ///
    /// # Errors
    /// When there is none or it lacks a function.
    pub fn load(path: Option<&OsStr>) -> Result<Arc<Self>, LoadError> {
        let name = path.unwrap_or(OsStr::new(NAME));
        Self::load_from(name)
            .map(Arc::new)
            .map_err(|source| LoadError { name: name.to_string_lossy().into_owned(), source })
    }

    fn load_from(name: &OsStr) -> Result<Self, libloading::Error> {
        // SAFETY: loading runs the library's initialisers; whoever names a library to be loaded trusts it as
        // if it were linked. The system's libcpg has none beyond libqb's logging set-up.
        let library = unsafe { libloading::Library::new(name) }?;
        Ok(Self {
            // SAFETY: the types are those of `cpg.h`, and the pointers do not outlive `_library`, which lies in
            // the same struct; the same holds for the lines that follow.
            initialize: unsafe { *function(&library, b"cpg_initialize\0")? },
            // SAFETY: as above.
            finalize: unsafe { *function(&library, b"cpg_finalize\0")? },
            // SAFETY: as above.
            fd_get: unsafe { *function(&library, b"cpg_fd_get\0")? },
            // SAFETY: as above.
            join: unsafe { *function(&library, b"cpg_join\0")? },
            // SAFETY: as above.
            mcast_joined: unsafe { *function(&library, b"cpg_mcast_joined\0")? },
            // SAFETY: as above.
            dispatch: unsafe { *function(&library, b"cpg_dispatch\0")? },
            // SAFETY: as above.
            local_get: unsafe { *function(&library, b"cpg_local_get\0")? },
            _library: library,
        })
    }
}

/// A function of the library.
///
/// # Safety
/// `F` is the type of the function of that name.
unsafe fn function<'a, F>(
    library: &'a libloading::Library,
    name: &[u8],
) -> Result<Symbol<'a, F>, libloading::Error> {
    // SAFETY: the caller vouches for the type.
    unsafe { library.get(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_or_is_another_is_refused_with_its_name() {
        let missing = Library::load(Some(OsStr::new("/nonexistent/libcpg.so"))).err().unwrap();
        assert!(missing.to_string().contains("/nonexistent/libcpg.so"), "{missing}");
        let other = Library::load(Some(OsStr::new("libc.so.6"))).err().unwrap();
        assert!(other.to_string().contains("cpg_initialize"), "{other}");
    }
}
