//! What is to be written, in the pieces it lies in.
use bytes::{Buf, Bytes};
use std::{collections::VecDeque, io::IoSlice};

/// Pieces that go out in as few system calls as the socket takes, none of them copied.
#[derive(Default)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        // An empty one would look like the end.
        if !piece.is_empty() {
            self.0.push_back(piece);
        }
    }
}

impl Extend<Bytes> for Pieces {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, pieces: I) {
        pieces.into_iter().for_each(|piece| self.push(piece));
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
    fn has_remaining(&self) -> bool {
        !self.0.is_empty()
    }
    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
    }
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.0) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }
    fn advance(&mut self, mut octets: usize) {
        while let Some(front) = self.0.front_mut() {
            if octets < front.len() {
                front.advance(octets);
                return;
            }
            octets -= front.len();
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_partial_write_leaves_the_rest() {
        let whole = b"BDAT 9 LAST\r\nReceived: \r\n\r\nbody";
        for cut in 0..=whole.len() {
            let mut pieces = Pieces::default();
            pieces.extend([&whole[..13], b"", &whole[13..25], &whole[25..]].map(Bytes::copy_from_slice));
            assert_eq!(pieces.remaining(), whole.len());
            pieces.advance(cut);
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = pieces.chunks_vectored(&mut slices);
            let rest: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
            assert_eq!(rest, &whole[cut..]);
            assert_eq!(pieces.has_remaining(), cut < whole.len());
        }
    }
}
