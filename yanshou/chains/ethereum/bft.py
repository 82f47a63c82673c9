"""What IBFT 2.0 and QBFT write into a block's extraData: the validators, and their signatures over the block. Pure.

Sources: Hyperledger Besu, IbftExtraDataCodec, QbftExtraDataCodec, BftBlockHashing and BftHelpers; its documentation of IBFT 2.0
and QBFT. The validators sign the header without their signatures; its hash leaves out the round, too. IBFT 2.0 drops what it
leaves out and QBFT writes it empty. The two are told apart by the round, which in IBFT 2.0 always has four bytes. Blocks whose
validators stand in a contract name none. The older Istanbul BFT of Quorum is not read.
"""

from __future__ import annotations

from dataclasses import dataclass

from yanshou.chains.trees import rlp, unrlp

MIX_HASH = b"ctical byzantine fault tolerance"
"""mixHash of every block of these chains."""
ADDRESS, VANITY, SEAL, ROUND = 20, 32, 65, 4


@dataclass(frozen=True)
class BftExtra:
    """`validators`: addresses; `seals`: r, s and recovery id; `signed`, `hashed`: extraData as it is signed and as it is hashed."""

    validators: tuple[bytes, ...]
    seals: tuple[bytes, ...]
    signed: bytes
    hashed: bytes


def bft_extra(extra: bytes) -> BftExtra | None:
    """None where it is no such extraData."""
    try:
        parts = unrlp(extra)
    except ValueError:
        return None
    if not isinstance(parts, list) or len(parts) != 5:
        return None
    vanity, validators, vote, turn, seals = parts
    if not (_is(vanity, VANITY) and isinstance(turn, bytes) and _all(validators, ADDRESS) and _all(seals, SEAL)):
        return None
    head = [vanity, validators, vote]
    if len(turn) == ROUND:
        return BftExtra(tuple(validators), tuple(seals), rlp([*head, turn]), rlp(head))
    return BftExtra(tuple(validators), tuple(seals), rlp([*head, turn, []]), rlp([*head, b"", []]))


def quorum(validators: int) -> int:
    """How many of them must sign: two thirds, rounded up."""
    return -(-2 * validators // 3)


def _is(item: object, size: int) -> bool:
    return isinstance(item, bytes) and len(item) == size


def _all(items: object, size: int) -> bool:
    return isinstance(items, list) and all(_is(item, size) for item in items)
