import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MiB } from '@blockferry/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { prepareDisk } from './lab-disk.ts'
import { layOutLabDirectory } from './lab-directory.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'blockferry-lab-disk-'))
})

afterEach(() => rm(directory, { recursive: true }))

test('the source of a new disk is created; that of a disk the tap agent knows is missed', async () => {
  const paths = layOutLabDirectory(directory)
  const option = { id: 'vda', sizeBytes: MiB, source: null, target: null, groupId: null } as const
  const { source } = prepareDisk({ ...option, provisioning: 'thin' }, paths)
  expect(existsSync(source)).toBe(true)
  await mkdir(join(paths.tapState, 'disks', 'vda'), { recursive: true })
  expect(prepareDisk({ ...option, provisioning: 'thin' }, paths).source).toBe(source)
  await rm(source)
  expect(() => prepareDisk({ ...option, provisioning: 'thin' }, paths)).toThrow(
    expect.objectContaining({ code: 'SOURCE_MISSING' }) as Error,
  )
  expect(existsSync(source)).toBe(false)
})
