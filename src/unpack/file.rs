//! A file that was found.
use super::Kind;
use bytes::Bytes;

/// A file: a part of the message, or something inside one.
#[derive(Debug, Clone)]
pub struct File {
    /// Every name that some program would give it: those in its headers, or those in the archive's
    /// directories, where they disagree. At most 255 characters each, the last ones.
    pub names: Vec<Box<str>>,
    /// The media type it claims, where it is a part of the message that claims one.
    pub declared: Box<str>,
    /// It is shown as text, not saved.
    pub is_body: bool,
    pub kind: Kind,
    pub flags: Flags,
    /// A part of a document that its program names, and no person ever saves.
    pub is_part: bool,
    /// Octets that are here; of one that is damaged or cut off, those that came.
    pub size: u64,
    /// Of those octets; `None` where none could be read.
    pub sha256: Option<[u8; 32]>,
    pub octets: Bytes,
    /// Containers around it.
    pub depth: usize,
    /// Which of the inputs it is, or is in.
    pub input: usize,
    pub(super) parent: Option<usize>,
}

impl File {
    /// The first of its names; without one, its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.names.first() {
            Some(name) => name,
            None => self.kind.name(),
        }
    }

    /// What policy can call it: its kind, its class, its flags.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        [self.kind.name(), self.kind.class().name()].into_iter().chain(self.flags.names())
    }
}

macro_rules! flags {
    ($($flag:ident $name:literal $meaning:literal;)*) => {
        /// Something about a file besides its kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Flag { $(#[doc = $meaning] $flag,)* }

        impl Flag {
            pub const ALL: &[Self] = &[$(Self::$flag,)*];

            /// As the configuration and the findings name it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$flag => $name,)* }
            }
        }
    };
}

flags! {
    Encrypted "encrypted" "Cannot be looked into without a password.";
    Unreadable "unreadable" "Damaged, or of a format that is known by its signature only.";
    Limit "limit" "Not looked into, or not to its end: a limit was reached.";
    Hidden "hidden" "In an archive, where its directory does not say so.";
    Polyglot "polyglot" "An archive that is something else as well.";
    Macro "macro" "Has macros, or is one.";
    AutoExec "auto-exec" "Macros that run when it is opened.";
    ExternalTemplate "external-template" "Fetches a template or an object from elsewhere when it is opened.";
    EmbeddedObject "embedded-object" "Has objects of other programs inside.";
    ObjectUpdate "object-update" "RTF that loads its objects when it is opened.";
    PdfJavaScript "pdf-javascript" "PDF with JavaScript.";
    PdfLaunch "pdf-launch" "PDF that starts a program.";
    PdfEmbeddedFile "pdf-embedded-file" "PDF with files inside.";
    HtmlSmuggling "html-smuggling" "HTML that makes a file out of itself and saves it.";
    SvgScript "svg-script" "SVG with a script.";
}

/// A set of flags.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u32);

impl Flags {
    #[must_use]
    pub fn has(self, flag: Flag) -> bool {
        self.0 & Self::from(flag).0 != 0
    }
    pub fn set(&mut self, flags: impl Into<Self>) {
        self.0 |= flags.into().0;
    }
    #[must_use]
    pub fn with(mut self, flag: Flag) -> Self {
        self.set(flag);
        self
    }
    /// Those of `other` that are in here too.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flag::ALL.iter().filter(move |flag| self.has(**flag)).map(|flag| flag.name())
    }
}

impl From<Flag> for Flags {
    fn from(flag: Flag) -> Self {
        Self(1 << flag as u32)
    }
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
