/*
 * Two preallocated, checksummed slots, written alternately: the tap's control slots (T5) and the
 * applier's checkpoint (R2).
 *
 * Invariant C1: a write goes to the slot that does not hold the newest acknowledged record, so whatever
 *   happens to it, that record stays readable.
 * Invariant C2: a write is acknowledged only after fdatasync. Nor is a record returned by opening before
 *   one: a process killed before its fdatasync may have left it in the page cache only.
 * Invariant C3: serials only grow, over failed writes and restarts too; the higher valid one is newer.
 * Invariant C4: both slots are valid from the file's creation on, so two bad slots are always a loss,
 *   never a fresh file. They stay bad until a record is durable in their place.
 * Invariant C5: a file with smaller slots is replaced by one with larger slots whole and at once: a crash
 *   leaves the one or the other, with the same newest record. Where that fails, the smaller slots go on.
 * Invariant C6: a record that fits the first page of its slot is not torn by the death of its process.
 */

import { crc32 } from 'node:zlib'
import { AssertionError, assert, KiB } from '@blockferry/runtime'
import { fault } from './error-catalogue.ts'
import type { SlotFile } from './slot-file.ts'

/** Slots start at multiples of this, so that no page or sector is shared between the two. */
export const slotAlignmentBytes = 4 * KiB

const magic = 0x534c4f54
const formatVersion = 1
/** magic, version, serial (64 bits), record length, CRC-32 of all of it and the record. */
const headerBytes = 24
const crcAt = 20

export interface SlotRecord {
  readonly record: Buffer
  /** Number of this record: 1, 2, 3 …, with holes where a write failed. */
  readonly serial: number
}

/** What the slots held when they were opened. */
export interface SlotReading {
  /** The newest valid record, or null when none was ever written. */
  readonly newest: SlotRecord | null
  /**
   * One slot fails its checksum. Either the last write was cut short (it was never acknowledged), or
   * the newest record rotted and `newest` is the one before it; the slots cannot tell which.
   */
  readonly oneSlotCorrupt: boolean
  /** Both fail: there were records, and none is left. Only with `whenLost: 'begin-anew'`. */
  readonly bothSlotsCorrupt: boolean
}

export interface ControlSlots extends AsyncDisposable {
  /** What opening found. Does not change with later writes. */
  readonly found: SlotReading
  /** The newest record this process knows to be durable. */
  readonly newest: SlotRecord | null
  /** Longest record a slot holds. */
  readonly recordBytesMax: number
  /** Why the file could not be given larger slots (C5); null when it could, or had not to be. */
  readonly growthFailure: unknown
  /**
   * Makes `record` durable before it resolves. One write at a time (asserted). After a failure the
   * record before it is still there, and the next write may try again.
   */
  write(record: Buffer): Promise<void>
  close(): Promise<void>
}

export interface ControlSlotsOptions {
  readonly file: SlotFile
  /** Bytes of one slot, at least; a multiple of 4 KiB. A file with smaller slots grows, one with larger keeps them. */
  readonly slotBytes: number
  /** What two bad slots mean to the owner; `refuse` unless it can go on without its records. */
  readonly whenLost?: 'refuse' | 'begin-anew'
}

interface SlotLayout {
  readonly slotBytes: number
  readonly slots: readonly [SlotRecord | null, SlotRecord | null]
}

/**
 * Opens the slots, creating them when the file is missing.
 * @throws SLOTS_CORRUPT when neither slot is valid, unless the owner begins anew
 */
export async function openControlSlots(options: ControlSlotsOptions): Promise<ControlSlots> {
  const { file, slotBytes } = options
  const aligned = slotBytes > 0 && slotBytes % slotAlignmentBytes === 0
  assert(aligned, 'slots are whole pages')
  const content = await file.readAll()
  if (content === null) {
    const fresh = emptyLayout(slotBytes)
    await file.replaceAll(encodeLayout(fresh))
    return openLayout(file, { found: fresh, used: fresh, growthFailure: null })
  }
  const found = readLayout(content, slotBytes)
  if (readable(found) === 0) {
    if (options.whenLost !== 'begin-anew')
      throw fault('SLOTS_CORRUPT', 'both control slots fail their checksums')
    const lost: SlotLayout = { slotBytes, slots: [null, null] }
    return openLayout(file, { found: lost, used: lost, growthFailure: null })
  }
  const isWhole = content.length === 2 * found.slotBytes
  if (isWhole && found.slotBytes >= slotBytes)
    return openLayout(file, { found, used: found, growthFailure: null })
  const used = grownTo(slotBytes, found)
  try {
    await file.replaceAll(encodeLayout(used))
  } catch (growthFailure) {
    if (growthFailure instanceof AssertionError || !isWhole) throw growthFailure
    return openLayout(file, { found, used: found, growthFailure })
  }
  return openLayout(file, { found, used, growthFailure: null })
}

interface OpenedLayout {
  readonly found: SlotLayout
  readonly used: SlotLayout
  readonly growthFailure: unknown
}

async function openLayout(file: SlotFile, opened: OpenedLayout): Promise<ControlSlots> {
  const slots = new AlternatingSlots(file, opened)
  await file.sync()
  return slots
}

/** C4: serials -1 and 0 mean "nothing written yet". */
function emptyLayout(slotBytes: number): SlotLayout {
  const blank = (serial: number): SlotRecord => ({ record: Buffer.alloc(0), serial })
  return { slotBytes, slots: [blank(-1), blank(0)] }
}

class AlternatingSlots implements ControlSlots {
  readonly found: SlotReading
  readonly recordBytesMax: number
  readonly growthFailure: unknown
  readonly #file: SlotFile
  readonly #slotBytes: number
  #newest: SlotRecord
  #newestSlot: 0 | 1
  /** Highest serial that may be on disk. */
  #lastSerial: number
  #writing = false
  /** Both slots are bad, and the file may have another length than theirs. */
  #isLost: boolean

  constructor(file: SlotFile, { found, used, growthFailure }: OpenedLayout) {
    this.#file = file
    this.#slotBytes = used.slotBytes
    this.recordBytesMax = used.slotBytes - headerBytes
    this.growthFailure = growthFailure
    const newest = newer(used.slots[0], used.slots[1])
    this.#isLost = newest === null
    this.#newest = newest ?? { record: Buffer.alloc(0), serial: 0 }
    this.#newestSlot = newest !== null && newest === used.slots[0] ? 0 : 1
    const oneSlotCorrupt = !this.#isLost && found.slots.includes(null)
    // C3: a slot that cannot be read may hold the serial after the newest.
    this.#lastSerial = this.#newest.serial + (oneSlotCorrupt ? 1 : 0)
    this.found = { newest: this.newest, oneSlotCorrupt, bothSlotsCorrupt: this.#isLost }
  }

  get newest(): SlotRecord | null {
    return this.#newest.serial > 0 ? this.#newest : null
  }

  async write(record: Buffer): Promise<void> {
    assert(!this.#writing, 'one slot write at a time')
    assert(record.length <= this.recordBytesMax, 'a record fits its slot')
    this.#writing = true
    try {
      this.#lastSerial += 1
      const serial = this.#lastSerial
      const slot = this.#newestSlot === 0 ? 1 : 0
      await this.#put(slot, encodeSlot(serial, record))
      this.#newest = { record: Buffer.from(record), serial }
      this.#newestSlot = slot
    } finally {
      this.#writing = false
    }
  }

  async #put(slot: 0 | 1, encoded: Buffer): Promise<void> {
    if (this.#isLost) {
      const content = encodeLayout(emptyLayout(this.#slotBytes))
      encoded.copy(content, slot * this.#slotBytes)
      await this.#file.replaceAll(content)
      this.#isLost = false
      return
    }
    // Only what the checksum covers: what an earlier, longer record left behind it is never looked at.
    await this.#file.writeAt(slot * this.#slotBytes, encoded)
    await this.#file.sync()
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function newer(first: SlotRecord | null, second: SlotRecord | null): SlotRecord | null {
  if (first === null || second === null) return first ?? second
  return first.serial > second.serial ? first : second
}

function newestOf({ slots }: SlotLayout): SlotRecord {
  const newest = newer(slots[0], slots[1])
  assert(newest !== null, 'a layout that grows has a slot that can be read')
  return newest
}

/** The slots of a file: two halves of what it has, or, where that shows less, as of the wanted size in a file cut short. */
function readLayout(content: Buffer, wantedBytes: number): SlotLayout {
  const wanted = layoutOf(content, wantedBytes)
  const halfBytes = content.length / 2
  if (halfBytes === 0 || halfBytes % slotAlignmentBytes !== 0) return wanted
  const halves = layoutOf(content, halfBytes)
  return readable(halves) >= readable(wanted) ? halves : wanted
}

function layoutOf(content: Buffer, slotBytes: number): SlotLayout {
  const at = (slot: number) => decodeSlot(content.subarray(slot * slotBytes, (slot + 1) * slotBytes))
  return { slotBytes, slots: [at(0), at(1)] }
}

function readable({ slots }: SlotLayout): number {
  return slots.filter((slot) => slot !== null).length
}

/** C5. The other slot is valid too (C4): with the record before, else with the newest one a second time. */
function grownTo(slotBytes: number, found: SlotLayout): SlotLayout {
  const newest = newestOf(found)
  const before = found.slots.find((slot) => slot !== null && slot !== newest)
  if (before !== undefined) return { slotBytes, slots: [newest, before] }
  // A serial below 1 says that nothing was ever written.
  const serial = newest.serial > 0 ? newest.serial + 1 : newest.serial
  return {
    slotBytes,
    slots: [
      { ...newest, serial },
      { ...newest, serial: serial - 1 },
    ],
  }
}

function encodeLayout({ slotBytes, slots }: SlotLayout): Buffer {
  const content = Buffer.alloc(2 * slotBytes)
  for (const [at, slot] of slots.entries()) {
    assert(slot !== null, 'both slots are valid from the file’s creation on (C4)')
    encodeSlot(slot.serial, slot.record).copy(content, at * slotBytes)
  }
  return content
}

function encodeSlot(serial: number, record: Buffer): Buffer {
  const slot = Buffer.alloc(headerBytes + record.length)
  slot.writeUInt32LE(magic, 0)
  slot.writeUInt32LE(formatVersion, 4)
  slot.writeBigInt64LE(BigInt(serial), 8)
  slot.writeUInt32LE(record.length, 16)
  record.copy(slot, headerBytes)
  slot.writeUInt32LE(slotCrc(slot, record.length), crcAt)
  return slot
}

function decodeSlot(slot: Buffer): SlotRecord | null {
  if (slot.length < headerBytes || slot.readUInt32LE(0) !== magic || slot.readUInt32LE(4) !== formatVersion)
    return null
  const recordBytes = slot.readUInt32LE(16)
  if (recordBytes > slot.length - headerBytes || slot.readUInt32LE(crcAt) !== slotCrc(slot, recordBytes))
    return null
  const record = Buffer.from(slot.subarray(headerBytes, headerBytes + recordBytes))
  return { record, serial: Number(slot.readBigInt64LE(8)) }
}

function slotCrc(slot: Buffer, recordBytes: number): number {
  return crc32(slot.subarray(headerBytes, headerBytes + recordBytes), crc32(slot.subarray(0, crcAt)))
}
