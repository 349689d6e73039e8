//! A response whose TLS records the kernel seals.

use zc_core::ProbedTransfer;

use super::{NextPart, ResponseBody};

/// How pieces are sent where the kernel seals them. `TCP_CORK` stays as it is: it saves segments there too.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelPieces {
    /// Whether a head does not begin the record of its body.
    has_heads_apart: bool,
}

impl ResponseBody {
    /// How many bytes of a file are to be sent in one piece, or of an archive in all.
    pub(crate) fn file_bytes(&self) -> u64 {
        match &self.next_part {
            NextPart::Archive(archive) => archive.remaining(),
            _ => self.piece.body().map_or(0, ProbedTransfer::remaining),
        }
    }

    /// The kernel seals it, from its beginning on.
    pub(crate) fn leave_to_kernel(&mut self, has_heads_apart: bool) {
        if self.kernel.is_none() {
            self.kernel = Some(KernelPieces { has_heads_apart });
            self.prepare_for_kernel();
        }
    }

    /// Of each piece, before any of it is sent.
    pub(super) fn prepare_for_kernel(&mut self) {
        let Some(KernelPieces { has_heads_apart }) = self.kernel else {
            return;
        };
        if has_heads_apart {
            self.piece.set_head_apart();
        }
    }
}
