import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomFillSync } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type FileDigests, writeAndCheckFileSystem } from './nbd-file-system.ts'
import type { ServedDisk } from './nbd-plain-server.ts'
import type { Requirement } from './requirements.ts'
import { describeWith, requireTool } from './requirements.ts'
import { runTool, sha256OfFile, tryTool } from './run-tool.ts'

/** Debian's own Python: python3-libnbd is not visible to others. */
const python = '/usr/bin/python3'
const requirePythonLibnbd: Requirement = {
  name: 'python3-libnbd',
  isMet: () => spawnSync(python, ['-c', 'import nbd']).status === 0,
}
const requireLoopAndFuse: Requirement = {
  name: 'root, /dev/fuse and /dev/loop-control',
  isMet: () =>
    process.getuid?.() === 0 &&
    spawnSync('test', ['-c', '/dev/fuse', '-a', '-c', '/dev/loop-control']).status === 0,
}

export interface ClientSuiteOptions {
  readonly name: string
  /** A disk of at least 64 MiB, all zeroes. */
  readonly startServer: () => Promise<ServedDisk>
  /** Asked once a file system is on the disk, with the files in it. */
  readonly checkFileSystem?: (
    disk: ServedDisk,
    expected: { readonly files: FileDigests; readonly directory: string },
  ) => Promise<void>
}

/** Real clients against a server: they are the judge (T1). Run against the plain server, and against the tap. */
export function describeNbdClients({ checkFileSystem, name, startServer }: ClientSuiteOptions): void {
  const suite = (tools: readonly Requirement[], what: string, body: (context: Context) => void): void => {
    describeWith(tools, `${name}: ${what}`, () => {
      const context: Context = { disk: undefined as never, directory: '' }
      beforeAll(async () => {
        context.directory = await mkdtemp(join(tmpdir(), 'blockferry-clients-'))
        context.disk = await startServer()
      })
      afterAll(async () => {
        await context.disk.stop()
        await rm(context.directory, { recursive: true })
      })
      body(context)
    })
  }
  suite([requireTool('nbdinfo'), requireTool('qemu-io')], 'nbdinfo', describeNbdinfo)
  suite([requireTool('nbdcopy')], 'nbdcopy', describeNbdcopy)
  suite([requireTool('qemu-img')], 'qemu-img', describeQemuImg)
  suite([requireTool('qemu-io')], 'qemu-io', describeQemuIo)
  suite([requireTool('fio')], 'fio', describeFio)
  suite([requirePythonLibnbd], 'libnbd', describeLibnbd)
  const fileSystemTools = ['nbdfuse', 'fusermount3', 'losetup', 'mkfs.ext4', 'e2fsck', 'mount'].map(
    requireTool,
  )
  suite([...fileSystemTools, requireLoopAndFuse], 'a file system', (context) => {
    let files: FileDigests = new Map()
    test('ext4 made and filled through nbdfuse and a loop device is clean on the backing file, and holds the same files', async () => {
      const { directory, disk } = context
      files = await writeAndCheckFileSystem(disk, directory)
    })
    if (checkFileSystem === undefined) return
    test('and so is the copy, with the same files', async () => {
      expect(files.size).toBeGreaterThan(0)
      await checkFileSystem(context.disk, { files, directory: context.directory })
    })
  })
}

interface Context {
  disk: ServedDisk
  directory: string
}

function describeNbdinfo(context: Context): void {
  test('tells size, flags and block sizes, lists the export, and maps what was written', async () => {
    const { disk } = context
    expect((await runTool('nbdinfo', '--size', disk.uri)).trim()).toBe(String(disk.sizeBytes))
    const { exports } = JSON.parse(await runTool('nbdinfo', '--json', disk.uri)) as { exports: object[] }
    const offered = { can_cache: true, can_df: true, can_fast_zero: true, can_flush: true, can_fua: true }
    const more = { can_multi_conn: true, can_trim: true, can_zero: true, is_read_only: false }
    const sizes = { block_size_minimum: 1, block_size_preferred: 4096, block_size_maximum: 33_554_432 }
    expect(exports[0]).toMatchObject({ ...offered, ...more, ...sizes, contexts: ['base:allocation'] })
    const list = await runTool('nbdinfo', '--list', `nbd+unix:///?socket=${disk.socketPath}`)
    expect(list).toContain(`export="${disk.exportName}"`)
    await runTool('qemu-io', '-f', 'raw', '-c', 'write 1M 64k', '-c', 'flush', disk.uri)
    const map = JSON.parse(await runTool('nbdinfo', '--map', '--json', disk.uri)) as MapEntry[]
    expect(map.reduce((sum, entry) => sum + entry.length, 0)).toBe(disk.sizeBytes)
    const data = map.filter((entry) => entry.type === 0)
    expect(data).toEqual([{ offset: 1 << 20, length: 65_536, type: 0, description: 'data' }])
  })
}

interface MapEntry {
  readonly offset: number
  readonly length: number
  readonly type: number
}

function describeNbdcopy(context: Context): void {
  test('carries a sparse image in and out again, with equal checksums and no hole filled', async () => {
    const { disk, directory } = context
    const source = await sparseImage(join(directory, 'source.raw'), disk.sizeBytes)
    await runTool('nbdcopy', '--flush', source, disk.uri)
    const expected = await sha256OfFile(source)
    expect(await sha256OfFile(disk.backingPath)).toBe(expected)
    const copy = join(directory, 'copy.raw')
    await runTool('nbdcopy', disk.uri, copy)
    expect(await sha256OfFile(copy)).toBe(expected)
    const allocated = async (path: string): Promise<number> => {
      await using file = await open(path, 'r')
      return (await file.stat()).blocks
    }
    expect(await allocated(disk.backingPath)).toBeLessThanOrEqual((await allocated(source)) * 1.05)
  })
}

function describeQemuImg(context: Context): void {
  test('converts an image into the export, and finds both equal, file and export', async () => {
    const { disk, directory } = context
    const source = await sparseImage(join(directory, 'source.raw'), disk.sizeBytes)
    await runTool('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, disk.uri)
    const compared = await runTool('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, disk.uri)
    expect(compared).toContain('Images are identical')
    expect(await sha256OfFile(disk.backingPath)).toBe(await sha256OfFile(source))
  })
}

function describeQemuIo(context: Context): void {
  const commands = (...list: readonly string[]): Promise<string> =>
    runTool('qemu-io', '-f', 'raw', ...list.flatMap((command) => ['-c', command]), context.disk.uri)

  test('writes and reads unaligned extents, around and across each other', async () => {
    await commands('write -P 1 0 64k', 'write -P 2 511 1026', 'write -P 3 12345 1')
    await commands('read -P 1 0 511', 'read -P 2 511 1026', 'read -P 1 1537 10808', 'read -P 3 12345 1')
  })

  test('zeroes, with unmap and without, and discards: all read as zero, neighbours keep their bytes', async () => {
    await commands('write -P 9 1M 4M', 'write -z 2M 64k', 'write -z -u 3M 64k', 'discard 4M 64k', 'flush')
    await commands('read -P 0 2M 64k', 'read -P 0 3M 64k', 'read -P 0 4M 64k')
    await commands('read -P 9 1M 1M', 'read -P 9 2162688 983040', 'read -P 9 4259840 983040')
  })

  test('writes with FUA, flushes, and reaches the very last byte', async () => {
    const end = context.disk.sizeBytes
    await commands('write -f -P 7 8M 1M', 'flush', 'read -P 7 8M 1M')
    await commands(`write -P 8 ${end - 512} 512`, `read -P 8 ${end - 512} 512`, `write -f -P 5 ${end - 1} 1`)
    await commands(`read -P 5 ${end - 1} 1`, `read -P 8 ${end - 512} 511`)
  })

  test('past the end is an error, and the connection goes on', async () => {
    const { disk } = context
    const past = `read ${disk.sizeBytes - 512} 1024`
    const result = await tryTool('qemu-io', '-f', 'raw', '-c', past, '-c', 'read 0 512', disk.uri)
    expect(result.stdout + result.stderr).toMatch(/failed|past the end|Input\/output error|Invalid/i)
    expect(result.stdout).toContain('read 512/512 bytes at offset 0')
  })

  test('what was written is in the backing file', async () => {
    await commands('write -P 77 16M 4k', 'flush')
    await using file = await open(context.disk.backingPath, 'r')
    const { buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 16 << 20)
    expect(buffer.equals(Buffer.alloc(4096, 77))).toBe(true)
  })
}

function describeFio(context: Context): void {
  test('writes 16 deep at random, in many sizes, and verifies every block', async () => {
    const { disk, directory } = context
    const output = join(directory, 'fio.json')
    const job = ['--name=verify', '--ioengine=nbd', `--uri=${disk.uri}`, '--rw=randwrite', '--iodepth=16']
    const sizes = ['--bssplit=512/10:4k/60:64k/20:1m/10', '--size=48m', '--randrepeat=1']
    const verify = [
      '--verify=crc32c',
      '--do_verify=1',
      '--verify_fatal=1',
      '--verify_state_save=0',
      '--fsync=64',
    ]
    await runTool('fio', ...job, ...sizes, ...verify, '--output-format=json', `--output=${output}`)
    const text = await readFile(output, 'utf8')
    const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as { jobs: FioJob[] }
    expect(jobs[0]?.error).toBe(0)
    expect(jobs[0]?.read.io_bytes).toBeGreaterThan(0)
  })
}

interface FioJob {
  readonly error: number
  readonly read: { readonly io_bytes: number }
}

function describeLibnbd(context: Context): void {
  test('four connections see one disk: what one was answered for, all read', async () => {
    const script = join(import.meta.dirname, 'nbd-multi-conn.py')
    const { disk } = context
    expect((await runTool(python, script, disk.uri, String(disk.sizeBytes))).trim()).toBe('ok')
  })
}

/** An image with data at its start, middle and very end, and holes between. */
async function sparseImage(path: string, sizeBytes: number): Promise<string> {
  await using file = await open(path, 'w')
  await file.truncate(sizeBytes)
  const runs = [
    [0, 5 << 20],
    [sizeBytes / 2 - 4096, 8 << 20],
    [sizeBytes - 12_288, 12_288],
  ] as const
  for (const [byteOffset, byteLength] of runs) {
    await file.write(randomFillSync(Buffer.alloc(byteLength)), 0, byteLength, byteOffset)
  }
  return path
}
