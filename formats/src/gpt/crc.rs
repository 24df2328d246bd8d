//! The checksum of partition tables.

/// Bytes taken at a time.
const WIDTH: usize = 8;

/// `TABLES[n][byte]`: what `byte` does to the checksum when `n` bytes follow it.
static TABLES: [[u32; 256]; WIDTH] = tables();

/// CRC-32 as in ISO 3309 and Ethernet (reflected, polynomial 0x04C11DB7), eight bytes at a time:
/// each change of a disk reads both its tables, and every one of their bytes comes by here.
pub fn crc32(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<WIDTH>();
    let mut crc = u32::MAX;
    for word in words {
        let mut word = *word;
        for (byte, sum) in word.iter_mut().zip(crc.to_le_bytes()) {
            *byte ^= sum;
        }
        crc = 0;
        for (byte, table) in word.iter().zip(TABLES.iter().rev()) {
            crc ^= table[usize::from(*byte)];
        }
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)];
    }
    !crc
}

const fn tables() -> [[u32; 256]; WIDTH] {
    let mut tables = [[0u32; 256]; WIDTH];
    let mut n = 0;
    while n < 256 {
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        tables[0][n] = value;
        n += 1;
    }
    let mut behind = 1;
    while behind < WIDTH {
        let mut n = 0;
        while n < 256 {
            let before = tables[behind - 1][n];
            tables[behind][n] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            n += 1;
        }
        behind += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_value_of_the_standard() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(super::crc32(b""), 0);
        assert_eq!(super::crc32(&[0; 32]), 0x190A_55AD);
        assert_eq!(super::crc32(b"12345678"), 0x9AE0_DAAF);
        assert_eq!(
            super::crc32(b"The quick brown fox jumps over the lazy dog"),
            0x414F_A339
        );
    }
}
