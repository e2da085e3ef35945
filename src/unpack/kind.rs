//! The kinds of files there are, and what policy calls them.

/// What a file may do to whoever opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Machine code, byte code and installers.
    Executable,
    /// Run by Windows when opened.
    Script,
    /// Run by a shell that is told to.
    UnixScript,
    /// Small files that point elsewhere and start it.
    Shortcut,
    /// Mounted when opened; what is inside escapes the mark of the web.
    DiskImage,
    OneNote,
    Help,
    Archive,
    Document,
    Html,
    Image,
    Text,
    Other,
}

impl Class {
    pub const ALL: &[Self] = &[
        Self::Executable,
        Self::Script,
        Self::UnixScript,
        Self::Shortcut,
        Self::DiskImage,
        Self::OneNote,
        Self::Help,
        Self::Archive,
        Self::Document,
        Self::Html,
        Self::Image,
        Self::Text,
        Self::Other,
    ];

    /// As the configuration names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::Script => "script",
            Self::UnixScript => "unix-script",
            Self::Shortcut => "shortcut",
            Self::DiskImage => "disk-image",
            Self::OneNote => "onenote",
            Self::Help => "help",
            Self::Archive => "archive",
            Self::Document => "document",
            Self::Html => "html",
            Self::Image => "image",
            Self::Text => "text",
            Self::Other => "other",
        }
    }
}

impl Kind {
    /// What is inside are its own parts, which its program names.
    #[must_use]
    pub fn has_parts(self) -> bool {
        matches!(
            self,
            Self::Docx
                | Self::Xlsx
                | Self::Pptx
                | Self::Ooxml
                | Self::Odf
                | Self::Epub
                | Self::Ole
                | Self::Doc
                | Self::Xls
                | Self::Ppt
                | Self::Msg
                | Self::Jar
                | Self::Apk
                | Self::Appx
        )
    }
}

macro_rules! kinds {
    ($($kind:ident $name:literal $class:ident;)*) => {
        /// What a file is, by its content.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($kind,)* }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As the configuration and the findings name it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            #[must_use]
            pub fn class(self) -> Class {
                match self { $(Self::$kind => Class::$class,)* }
            }
        }
    };
}

kinds! {
    Pe "pe" Executable;
    DosExe "dos-exe" Executable;
    Elf "elf" Executable;
    MachO "mach-o" Executable;
    Dex "dex" Executable;
    JavaClass "java-class" Executable;
    Jar "jar" Executable;
    Apk "apk" Executable;
    Appx "appx" Executable;
    Msi "msi" Executable;
    Wasm "wasm" Executable;
    JavaScript "javascript" Script;
    VbScript "vbscript" Script;
    EncodedScript "encoded-script" Script;
    PowerShell "powershell" Script;
    Batch "batch" Script;
    Hta "hta" Script;
    ScriptFile "wsf" Script;
    Registry "registry" Script;
    UnixScript "shebang" UnixScript;
    Lnk "lnk" Shortcut;
    Url "url" Shortcut;
    Scf "scf" Shortcut;
    LibraryMs "library-ms" Shortcut;
    SettingContent "settingcontent-ms" Shortcut;
    Desktop "desktop-entry" Shortcut;
    Rdp "rdp" Shortcut;
    WebQuery "web-query" Shortcut;
    Iso "iso" DiskImage;
    Udf "udf" DiskImage;
    FatImage "disk-img" DiskImage;
    Vhd "vhd" DiskImage;
    Vhdx "vhdx" DiskImage;
    Vmdk "vmdk" DiskImage;
    Qcow "qcow" DiskImage;
    Dmg "dmg" DiskImage;
    OneNote "one" OneNote;
    Chm "chm" Help;
    Zip "zip" Archive;
    SevenZ "7z" Archive;
    Tar "tar" Archive;
    Gzip "gzip" Archive;
    Bzip2 "bzip2" Archive;
    Xz "xz" Archive;
    Zstd "zstd" Archive;
    Rar "rar" Archive;
    Ace "ace" Archive;
    Arj "arj" Archive;
    Cab "cab" Archive;
    Lzh "lzh" Archive;
    Lzip "lzip" Archive;
    Compress "compress" Archive;
    Xar "xar" Archive;
    Tnef "tnef" Archive;
    Msg "msg" Archive;
    Ole "ole" Document;
    Doc "doc" Document;
    Xls "xls" Document;
    Ppt "ppt" Document;
    Docx "docx" Document;
    Xlsx "xlsx" Document;
    Pptx "pptx" Document;
    Ooxml "ooxml" Document;
    Odf "odf" Document;
    Epub "epub" Document;
    ActiveMime "activemime" Document;
    Rtf "rtf" Document;
    Pdf "pdf" Document;
    Sylk "sylk" Document;
    Html "html" Html;
    Svg "svg" Image;
    Png "png" Image;
    Jpeg "jpeg" Image;
    Gif "gif" Image;
    Bmp "bmp" Image;
    Tiff "tiff" Image;
    Webp "webp" Image;
    Vba "vba" Text;
    Xml "xml" Text;
    Text "plain" Text;
    Empty "empty" Other;
    Unknown "unknown" Other;
}
