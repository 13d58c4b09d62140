import { expect, test } from 'vitest'

import { Command, CommandFlag } from '../protocol/constants.ts'
import { MemoryExport } from './memory-export.ts'
import { refusalOf } from './request-check.ts'

const disk = new MemoryExport('disk', 10_000)
const readOnlyDisk = new MemoryExport('ro', 10_000, { readOnly: true })
const plain = { disk, structuredReplies: true, allocationContext: true }
const F = CommandFlag
const commands = Object.values(Command).filter((type) => type !== Command.DISC)

function errnoOf(
  type: number,
  request: { flags?: number; byteOffset?: number; byteLength?: number } = {},
  negotiated = plain,
): string {
  const { flags = 0, byteOffset = 0, byteLength = type === Command.FLUSH ? 0 : 512 } = request
  const header = { type, commandFlags: flags, byteOffset, byteLength, cookieHigh: 0, cookieLow: 0 }
  return refusalOf(header, negotiated, 4096)?.errno ?? 'ok'
}

test('every command inside the export is let through, to its very last byte', () => {
  for (const type of commands) {
    expect(errnoOf(type)).toBe('ok')
    if (type !== Command.FLUSH) expect(errnoOf(type, { byteOffset: 9999, byteLength: 1 })).toBe('ok')
  }
})

test('one byte beyond the end: ENOSPC where the specification says so, else EINVAL', () => {
  const expected = {
    READ: 'EINVAL',
    WRITE: 'ENOSPC',
    TRIM: 'EINVAL',
    CACHE: 'EINVAL',
    WRITE_ZEROES: 'ENOSPC',
    BLOCK_STATUS: 'EINVAL',
  }
  for (const [name, errno] of Object.entries(expected)) {
    const type = Command[name as keyof typeof Command]
    expect(errnoOf(type, { byteOffset: 9999, byteLength: 2 })).toBe(errno)
    expect(errnoOf(type, { byteOffset: 2 ** 63, byteLength: 1 })).toBe(errno)
    expect(errnoOf(type, { byteOffset: 10_000, byteLength: 0 })).toMatch(/ok|EINVAL/)
  }
})

test('above the maximum payload size: EOVERFLOW for READ, EINVAL for WRITE, no matter for what carries no payload', () => {
  expect(errnoOf(Command.READ, { byteLength: 4097 })).toBe('EOVERFLOW')
  expect(errnoOf(Command.WRITE, { byteLength: 4097 })).toBe('EINVAL')
  for (const type of [Command.TRIM, Command.CACHE, Command.WRITE_ZEROES, Command.BLOCK_STATUS]) {
    expect(errnoOf(type, { byteLength: 10_000 })).toBe('ok')
  }
})

test('what would write to a read-only export is EPERM', () => {
  const negotiated = { ...plain, disk: readOnlyDisk }
  for (const type of commands) {
    const writes = [Command.WRITE, Command.TRIM, Command.WRITE_ZEROES].includes(type as 1)
    expect(errnoOf(type, {}, negotiated)).toBe(writes ? 'EPERM' : 'ok')
  }
})

test('each flag is accepted exactly where the specification documents it; FUA everywhere', () => {
  const documented: Record<number, number[]> = {
    [F.FUA]: commands,
    [F.DF]: [Command.READ],
    [F.NO_HOLE]: [Command.WRITE_ZEROES],
    [F.FAST_ZERO]: [Command.WRITE_ZEROES],
    [F.REQ_ONE]: [Command.BLOCK_STATUS],
  }
  for (let bit = 0; bit < 16; bit += 1) {
    for (const type of commands) {
      const allowed = documented[1 << bit]?.includes(type) === true
      expect(errnoOf(type, { flags: 1 << bit })).toBe(allowed ? 'ok' : 'EINVAL')
    }
  }
  expect(errnoOf(Command.READ, { flags: F.DF }, { ...plain, structuredReplies: false })).toBe('EINVAL')
})

test('unknown commands, a flush with an extent, and a block status without a context are EINVAL', () => {
  for (const type of [8, 9, 99, 0xffff]) expect(errnoOf(type)).toBe('EINVAL')
  expect(errnoOf(Command.FLUSH, { byteLength: 1 })).toBe('EINVAL')
  expect(errnoOf(Command.FLUSH, { byteOffset: 1 })).toBe('EINVAL')
  expect(errnoOf(Command.BLOCK_STATUS, {}, { ...plain, allocationContext: false })).toBe('EINVAL')
})
