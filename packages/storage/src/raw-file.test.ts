import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KiB, MiB } from '@blockferry/runtime'
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BlockDevice } from './block-device.ts'
import { lockDirectory } from './directory-lock.ts'
import { openMemoryDevice } from './memory-device.ts'
import { zeroRange } from './native/file-space.ts'
import { dropBytes } from './positional-io.ts'
import { openRawFile } from './raw-file.ts'

let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'blockferry-raw-file-'))
  path = join(directory, 'disk.raw')
})

afterEach(() => rm(directory, { recursive: true }))

const sizeBytes = 64 * KiB
const extent = fc
  .tuple(fc.integer({ min: 0, max: sizeBytes }), fc.integer({ min: 0, max: sizeBytes }))
  .map(([a, b]) => ({ byteOffset: Math.min(a, b), byteLength: Math.abs(a - b) }))
const change = fc.record({
  kind: fc.constantFrom('write', 'zero', 'unmap', 'flush'),
  extent,
  fill: fc.integer({ min: 1, max: 255 }),
  cut: fc.double({ min: 0, max: 1, noNaN: true }),
})

test('file and memory devices behave as an array of bytes, and holes read as zero', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
      await rm(path, { force: true })
      await using file = await openRawFile({ path, readOnly: false, createSizeBytes: sizeBytes })
      await using memory = openMemoryDevice({ sizeBytes })
      const model = Buffer.alloc(sizeBytes)
      for (const each of changes) {
        const { byteOffset, byteLength } = each.extent
        for (const device of [file, memory]) await apply(device, each)
        if (each.kind !== 'flush') {
          model.fill(each.kind === 'write' ? each.fill : 0, byteOffset, byteOffset + byteLength)
        }
      }
      for (const device of [file, memory]) await expectContent(device, model)
    }),
    { numRuns: 60 },
  )
})

async function apply(
  device: BlockDevice,
  each: { kind: string; extent: { byteOffset: number; byteLength: number }; fill: number; cut: number },
) {
  const { byteOffset, byteLength } = each.extent
  if (each.kind === 'flush') return device.flush()
  if (each.kind !== 'write') return device.zero(each.extent, { mayUnmap: each.kind === 'unmap' })
  const data = Buffer.alloc(byteLength, each.fill)
  const cutAt = Math.floor(byteLength * each.cut)
  return device.write(byteOffset, [data.subarray(0, cutAt), data.subarray(cutAt)])
}

async function expectContent(device: BlockDevice, model: Buffer): Promise<void> {
  const content = Buffer.alloc(sizeBytes, 0xee)
  await device.read(0, content)
  expect(content.equals(model)).toBe(true)
  const map = await device.allocations({ byteOffset: 0, byteLength: sizeBytes }, 1000)
  let end = 0
  for (const entry of map) {
    expect(entry.byteOffset).toBe(end)
    end += entry.byteLength
    if (entry.kind === 'hole')
      expect(model.subarray(entry.byteOffset, end).every((byte) => byte === 0)).toBe(true)
  }
  expect(end).toBe(sizeBytes)
}

test('unmapping gives space back, plain zeroing keeps it (S7, R5)', async () => {
  await using disk = await openRawFile({ path, readOnly: false, createSizeBytes: 4 * MiB })
  expect(await disk.allocatedBytes()).toBe(0)
  await disk.write(0, [Buffer.alloc(2 * MiB, 1)])
  await disk.zero({ byteOffset: 0, byteLength: 1 * MiB }, { mayUnmap: true })
  expect(disk.punchesHoles).toBe(true)
  await disk.flush()
  expect(await disk.allocatedBytes()).toBe(1 * MiB)
  await disk.zero({ byteOffset: 0, byteLength: 2 * MiB }, { mayUnmap: false })
  expect(await disk.allocatedBytes()).toBe(2 * MiB)
  expect((await stat(path)).size).toBe(4 * MiB)
})

test('whether ranges are zeroed by themselves is asked without leaving anything behind', async () => {
  await using disk = await openRawFile({ path, readOnly: false, createSizeBytes: 1 * MiB })
  expect(await disk.allocatedBytes()).toBe(0)
  expect(await readdir(directory)).toEqual(['disk.raw'])
  expect(disk.zeroesRanges).toBe(await zeroRangeWorks(disk))
  await using readable = await openRawFile({ path: await copied(), readOnly: true })
  expect(readable.zeroesRanges).toBe(false)
})

/** By trial. */
async function zeroRangeWorks(disk: BlockDevice): Promise<boolean> {
  const handle = await open(path, 'r+')
  const works = await zeroRange(handle.fd, { byteOffset: 0, byteLength: disk.sizeBytes })
  await handle.close()
  return works
}

async function copied(): Promise<string> {
  const copy = join(directory, 'copy.raw')
  await copyFile(path, copy)
  return copy
}

test('an allocation map is cut at its limit and ascends from its start', async () => {
  await using disk = await openRawFile({ path, readOnly: false, createSizeBytes: 1 * MiB })
  for (let block = 0; block < 16; block += 2) await disk.write(block * 64 * KiB, [Buffer.alloc(64 * KiB, 1)])
  const map = await disk.allocations({ byteOffset: 32 * KiB, byteLength: 900 * KiB }, 3)
  expect(map).toEqual([
    { byteOffset: 32 * KiB, byteLength: 32 * KiB, kind: 'data' },
    { byteOffset: 64 * KiB, byteLength: 64 * KiB, kind: 'hole' },
    { byteOffset: 128 * KiB, byteLength: 64 * KiB, kind: 'data' },
  ])
})

test('a disk that cannot be served is refused with its own code', async () => {
  await expect(openRawFile({ path, readOnly: false })).rejects.toMatchObject({ code: 'DISK_MISSING' })
  const homeless = { path: join(path, 'disk.raw'), readOnly: false, createSizeBytes: 512 }
  await expect(openRawFile(homeless)).rejects.toMatchObject({ code: 'DISK_MISSING' })
  await mkdir(path)
  await expect(openRawFile({ path, readOnly: true })).rejects.toMatchObject({ code: 'DISK_KIND_UNSUPPORTED' })
  await rm(path, { recursive: true })
  for (const bytes of [0, 511, 513]) {
    await writeFile(path, Buffer.alloc(bytes))
    await expect(openRawFile({ path, readOnly: true })).rejects.toMatchObject({ code: 'DISK_SIZE_INVALID' })
  }
  await writeFile(path, Buffer.alloc(512))
  await chmod(path, 0o444)
  await expect(openRawFile({ path, readOnly: false })).rejects.toMatchObject({ code: 'DISK_READ_ONLY' })
  await using readable = await openRawFile({ path, readOnly: true })
  expect(readable.sizeBytes).toBe(512)
})

test('a disk open for writing is locked against everyone, and the holder is named', async () => {
  const disk = await openRawFile({ path, readOnly: false, createSizeBytes: 512 })
  const refusal = { code: 'DISK_LOCKED', details: { path, holder: process.pid } }
  await expect(openRawFile({ path, readOnly: false })).rejects.toMatchObject(refusal)
  await expect(openRawFile({ path, readOnly: true })).rejects.toMatchObject(refusal)
  // The old POSIX locks would be lost here, with any descriptor of the file.
  await readFile(path)
  await expect(openRawFile({ path, readOnly: false })).rejects.toMatchObject(refusal)
  await disk.close()
  await using first = await openRawFile({ path, readOnly: true })
  await using second = await openRawFile({ path, readOnly: true })
  expect([first.readOnly, second.readOnly]).toEqual([true, true])
})

test('a file that shrinks under a reader is a fault, not zeroes', async () => {
  await using disk = await openRawFile({ path, readOnly: true, ...(await created(8192)) })
  await truncate(path, 4096)
  await expect(disk.read(0, Buffer.alloc(8192))).rejects.toMatchObject({ code: 'DISK_SHRUNK' })
})

async function created(bytes: number): Promise<object> {
  await writeFile(path, Buffer.alloc(bytes))
  return {}
}

test('a call beyond the end of the disk is a bug', async () => {
  await using disk = await openRawFile({ path, readOnly: false, createSizeBytes: 4096 })
  expect(() => disk.read(4000, Buffer.alloc(97))).toThrow('extents end within the disk')
  expect(() => disk.write(4096, [Buffer.alloc(1)])).toThrow('extents end within the disk')
})

test('what a short write left over is the rest of its buffers, to the byte', () => {
  const parts = fc.array(
    fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 6 },
  )
  fc.assert(
    fc.property(parts, fc.nat(60), (buffers, drop) => {
      expect(Buffer.concat(dropBytes(buffers, drop))).toEqual(Buffer.concat(buffers).subarray(drop))
    }),
  )
})

test('a state directory serves one process at a time', async () => {
  const state = join(directory, 'new', 'state')
  const lock = await lockDirectory(state)
  await expect(lockDirectory(state)).rejects.toMatchObject({
    code: 'STATE_LOCKED',
    details: { holder: process.pid },
  })
  await lock.release()
  await using again = await lockDirectory(state)
  expect(again.directory).toBe(state)
})
