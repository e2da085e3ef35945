//! Makes the archives that the tests open.
use bytes::Bytes;
use std::io::{Cursor, Write};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

pub(super) type Members<'a> = &'a [(&'a str, &'a [u8])];

pub(super) fn zip(members: Members<'_>) -> Vec<u8> {
    zip_with(members, SimpleFileOptions::default())
}

pub(super) fn stored(members: Members<'_>) -> Vec<u8> {
    zip_with(members, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
}

pub(super) fn zip_with(members: Members<'_>, options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, octets) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(octets).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Without a directory: what a reader of streams sees.
pub(super) fn without_directory(mut zip: Vec<u8>) -> Vec<u8> {
    let at = memchr::memmem::find(&zip, b"PK\x01\x02").unwrap();
    zip.truncate(at);
    zip
}

pub(super) fn tar(members: Members<'_>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, octets) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(octets.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *octets).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zlib(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn bzip2(octets: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn xz(octets: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(octets).unwrap();
    writer.finish().unwrap()
}

pub(super) fn zstd(octets: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(octets, 3).unwrap()
}

pub(super) fn seven_z(members: Members<'_>, password: Option<(&str, bool)>) -> Vec<u8> {
    use sevenz_rust2::{ArchiveEntry, ArchiveWriter, EncoderConfiguration, EncoderMethod, Password, encoder_options::AesEncoderOptions};
    let mut writer = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    if let Some((password, header)) = password {
        let aes = AesEncoderOptions::new(Password::from(password));
        writer.set_content_methods(vec![aes.into(), EncoderConfiguration::new(EncoderMethod::LZMA2)]);
        writer.set_encrypt_header(header);
    }
    for (name, octets) in members {
        writer.push_archive_entry(ArchiveEntry::new_file(name), Some(*octets)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An OLE file of these streams.
pub(super) fn ole(streams: Members<'_>) -> Vec<u8> {
    let mut compound = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
    for (path, octets) in streams {
        if let Some((storage, _)) = path.rsplit_once('/').filter(|(storage, _)| !storage.is_empty()) {
            compound.create_storage_all(storage).unwrap();
        }
        compound.create_stream(path).unwrap().write_all(octets).unwrap();
    }
    compound.flush().unwrap();
    compound.into_inner().into_inner()
}

/// A compressed container ([MS-OVBA] §2.4.1) of literal octets.
pub(super) fn vba(source: &str) -> Vec<u8> {
    let mut container = vec![1];
    for chunk in source.as_bytes().chunks(3_600) {
        let mut tokens = Vec::new();
        for literals in chunk.chunks(8) {
            tokens.push(0);
            tokens.extend_from_slice(literals);
        }
        container.extend_from_slice(&(0xb000 | (tokens.len() as u16 - 1)).to_le_bytes());
        container.extend_from_slice(&tokens);
    }
    container
}

/// `\x01Ole10Native`, without the length before it.
pub(super) fn packaged(name: &str, octets: &[u8]) -> Vec<u8> {
    let mut package = vec![2, 0];
    package.extend_from_slice(format!("{name}\0C:\\tmp\\{name}\0").as_bytes());
    package.extend_from_slice(&[0, 0, 3, 0]);
    let command = format!("C:\\tmp\\{name}\0");
    package.extend_from_slice(&(command.len() as u32).to_le_bytes());
    package.extend_from_slice(command.as_bytes());
    package.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    package.extend_from_slice(octets);
    package
}

pub(super) fn native(name: &str, octets: &[u8]) -> Vec<u8> {
    let package = packaged(name, octets);
    [&(package.len() as u32).to_le_bytes()[..], &package].concat()
}

/// The least that Windows takes for a program.
pub(super) fn program() -> Vec<u8> {
    let mut program = b"MZ".to_vec();
    program.resize(0x3c, 0);
    program.extend_from_slice(&0x40_u32.to_le_bytes());
    program.extend_from_slice(b"PE\0\0\x4c\x01");
    program
}

/// Octets that do not compress.
pub(super) fn noise(len: usize) -> Bytes {
    let mut state = 1_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}
