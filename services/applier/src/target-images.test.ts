import { mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MiB } from '@blockferry/runtime'
import { seededRandom } from '../testing/virtual-time.ts'
import type { ImageIdentity, TargetImages } from './ports.ts'
import { createTargetImages } from './target-images.ts'

let directory = ''
let targets: TargetImages

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'blockferry-targets-'))
  const paths = new Map([['named', join(directory, 'elsewhere', 'named.img')]])
  targets = createTargetImages({ paths, directory, random: seededRandom(1) })
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function openOnce(diskId: string, expected: ImageIdentity | null = null): Promise<ImageIdentity> {
  await using image = await targets.open({ diskId, sizeBytes: MiB, expected })
  return image.identity
}

describe('a target image', () => {
  test('is created sparse, with its disk’s size, where the configuration says', async () => {
    await using image = await targets.open({ diskId: 'named', sizeBytes: MiB, expected: null })
    expect(image.path).toBe(join(directory, 'elsewhere', 'named.img'))
    expect(image.device.sizeBytes).toBe(MiB)
    expect(await image.device.allocatedBytes()).toBe(0)
  })

  test('is opened again by the checkpoint that knows it', async () => {
    const identity = await openOnce('vda')
    expect(await openOnce('vda', identity)).toEqual(identity)
  })

  test('is refused while another holds it', async () => {
    await using holder = await targets.open({ diskId: 'vda', sizeBytes: MiB, expected: null })
    expect(holder.device.readOnly).toBe(false)
    await expect(openOnce('vda')).rejects.toMatchObject({ code: 'TARGET_LOCKED' })
  })

  test('is refused when it is another disk’s', async () => {
    await openOnce('vda')
    await rename(join(directory, 'vda.raw'), join(directory, 'vdb.raw'))
    await rename(join(directory, 'vda.raw.blockferry'), join(directory, 'vdb.raw.blockferry'))
    await expect(openOnce('vdb')).rejects.toMatchObject({ code: 'IMAGE_OF_OTHER_DISK' })
  })

  test('is refused when it was shrunk', async () => {
    const identity = await openOnce('vda')
    await truncate(join(directory, 'vda.raw'), MiB / 2)
    await expect(openOnce('vda', identity)).rejects.toMatchObject({ code: 'IMAGE_WRONG_SIZE' })
  })

  test('is refused when another file took its place', async () => {
    const identity = await openOnce('vda')
    await writeFile(join(directory, 'other'), Buffer.alloc(MiB))
    await rename(join(directory, 'other'), join(directory, 'vda.raw'))
    await expect(openOnce('vda', identity)).rejects.toMatchObject({ code: 'IMAGE_REPLACED' })
  })

  test('that is gone is not made anew while a checkpoint speaks of it', async () => {
    const identity = await openOnce('vda')
    await rm(join(directory, 'vda.raw'))
    await expect(openOnce('vda', identity)).rejects.toMatchObject({ code: 'IMAGE_MISSING' })
  })

  test('with data of unknown origin is refused and left as it is', async () => {
    await writeFile(join(directory, 'vda.raw'), Buffer.alloc(MiB, 5))
    await expect(openOnce('vda')).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
  })

  test('needs a name that stays in its directory', async () => {
    await expect(openOnce('../vda')).rejects.toMatchObject({ code: 'TARGET_NOT_CONFIGURED' })
  })
})
