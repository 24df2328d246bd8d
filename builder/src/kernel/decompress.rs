//! Module files are stored compressed; the kernel is given them plain.

use std::io::{self, Read};

/// Largest decompressed module accepted. The largest of Debian's are about 10 MB.
pub const MAX_MODULE_BYTES: usize = 128 << 20;

/// Memory that the xz decoder may use; `xz -9` needs 65 MiB.
const XZ_MEMORY_BYTES: u64 = 96 << 20;

/// How a module file is compressed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.ko`
    None,
    /// `.ko.xz`, Debian's
    Xz,
    /// `.ko.zst`
    Zstd,
    /// `.ko.gz`
    Gzip,
}

impl Compression {
    /// The end of such a file's name after `.ko.`; nothing where it is not compressed.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xz => "xz",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    /// How modules may be compressed when they are given to a kernel of this configuration
    /// (`/boot/config-RELEASE` of its package); the kernel can undo one way or none.
    pub fn undone_by(config: &[u8]) -> Self {
        let has = |option: &str| {
            let mut lines = config.split(|&b| b == b'\n');
            lines.any(|line| line.strip_suffix(b"=y") == Some(option.as_bytes()))
        };
        if !has("CONFIG_MODULE_DECOMPRESS") {
            return Self::None;
        }
        let ways = [
            ("CONFIG_MODULE_COMPRESS_XZ", Self::Xz),
            ("CONFIG_MODULE_COMPRESS_ZSTD", Self::Zstd),
            ("CONFIG_MODULE_COMPRESS_GZIP", Self::Gzip),
        ];
        let found = ways.into_iter().find(|(option, _)| has(option));
        found.map_or(Self::None, |(_, compression)| compression)
    }

    /// Splits a module's file name into stem and compression; `None` for other files.
    pub fn of_file_name(name: &[u8]) -> Option<(&[u8], Self)> {
        let suffixes: [(&[u8], _); 4] = [
            (b".ko.xz", Self::Xz),
            (b".ko.zst", Self::Zstd),
            (b".ko.gz", Self::Gzip),
            (b".ko", Self::None),
        ];
        suffixes.into_iter().find_map(|(suffix, compression)| {
            let stem = name.strip_suffix(suffix)?;
            (!stem.is_empty()).then_some((stem, compression))
        })
    }
}

/// Decompresses `bytes` into at most `limit` bytes.
///
/// # Errors
/// What the decoder says, in words; also where the content is longer than `limit`.
pub fn decompress(
    bytes: Vec<u8>,
    compression: Compression,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let input = bytes.as_slice();
    let out = match compression {
        Compression::None if bytes.len() <= limit => return Ok(bytes),
        Compression::None => read_limited(input, limit),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, 0)
                .map_err(|e| format!("the xz decoder cannot start: {e}"))?;
            read_limited(liblzma::read::XzDecoder::new_stream(input, stream), limit)
        }
        Compression::Zstd => {
            zstd::stream::read::Decoder::new(input).and_then(|decoder| read_limited(decoder, limit))
        }
        Compression::Gzip => read_limited(flate2::read::GzDecoder::new(input), limit),
    };
    out.map_err(|e| format!("it cannot be decompressed: {e}"))
}

fn read_limited(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut out)?;
    if out.len() > limit {
        return Err(io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(out)
}
