import { mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KiB, MiB } from '@blockferry/runtime'
import { publishedLengthBytes } from '@blockferry/segment-log'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { diskStorage } from './disk-storage.ts'

let directory: string
let source: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'blockferry-disk-storage-'))
  source = join(directory, 'vda.raw')
})

afterEach(() => rm(directory, { recursive: true }))

function storage() {
  const disk = { diskId: 'vda', source, sizeBytes: 64 * KiB, provisioning: 'thin', groupId: null } as const
  const published = new SharedArrayBuffer(publishedLengthBytes)
  return diskStorage({ directory, disk, published, spoolBytesMax: 64 * MiB })
}

test('a source file is created where it may be, and nowhere else', async () => {
  await expect(storage().openDevice({ mayCreate: false })).rejects.toMatchObject({ code: 'DISK_MISSING' })
  await expect(stat(source)).rejects.toMatchObject({ code: 'ENOENT' })
  await using created = await storage().openDevice({ mayCreate: true })
  expect((await stat(source)).size).toBe(created.sizeBytes)
})

test('a file is told from another that took its name, and from itself under another name it is not', async () => {
  const identityNow = async () => {
    await using device = await storage().openDevice({ mayCreate: true })
    await device.write(0, [Buffer.alloc(512, 1)])
    await device.flush()
    return device.fileIdentity
  }
  const first = await identityNow()
  expect(await identityNow()).toEqual(first)
  const kept = join(directory, 'kept.raw')
  await rename(source, kept)
  expect(await identityNow()).not.toEqual(first)
  await rename(kept, source)
  expect(await identityNow()).toEqual(first)
})
