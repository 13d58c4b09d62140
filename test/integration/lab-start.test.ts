import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LabClient, waitFor } from '@blockferry/cli'
import { connectNbdWithRetry } from '@blockferry/nbd'
import { KiB } from '@blockferry/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith, requireKafka } from '../support/requirements.ts'

const launcher = join(import.meta.dirname, '..', '..', 'cli', 'blockferry.mjs')
const disks = ['id=vda,size=16M']
const processNames = ['aggregator', 'applier', 'kafka-a', 'kafka-b', 'mirror', 'tap-agent', 'wan']

interface AppliedDisk {
  readonly diskId: string
  readonly state: string
  readonly applied: { readonly generation: number; readonly sequence: number } | null
}

let directory = ''
let lab: LabClient

function blockferry(...args: readonly string[]) {
  const { status, stderr, stdout } = spawnSync(process.execPath, [launcher, ...args, '--dir', directory], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, stdout, stderr }
}

async function writeAndCompare(fill: number): Promise<void> {
  const [disk] = lab.ready.disks
  if (disk === undefined) throw new Error('no disk')
  const path = new URL(disk.nbd).searchParams.get('socket') ?? ''
  const client = await connectNbdWithRetry({ path, exportName: 'vda', deadlineMs: 60_000 })
  await client.write(fill * 4 * KiB, Buffer.alloc(64 * KiB, fill))
  await client.disconnect()
  const equal = () => readFileSync(disk.target).equals(readFileSync(disk.source))
  await waitFor(equal, { what: 'the target to equal the source', deadlineMs: 60_000, everyMs: 200 })
}

async function appliedDisk(): Promise<AppliedDisk | undefined> {
  const answer = await lab.get<{ readonly disks: readonly AppliedDisk[] }>('applier', '/v1/disks')
  return answer.disks.find(({ diskId }) => diskId === 'vda')
}

describeWith([requireKafka], 'blockferry start', () => {
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'blockferry-lab-start-'))
    lab = await LabClient.start({ directory, disks })
  })

  afterAll(async () => {
    await lab.stop()
    await rm(directory, { recursive: true, force: true })
  })

  test('names every process, and each HTTP side answers', async () => {
    expect(Object.keys(lab.ready.processes).toSorted()).toEqual(processNames)
    for (const { http } of Object.values(lab.ready.processes)) {
      if (http === undefined) continue
      expect((await fetch(`${http}/health/live`)).status).toBe(200)
      expect((await fetch(`${http}/openapi.json`)).status).toBe(200)
    }
    expect(lab.ready.processes['applier']?.lag).toMatch(/^ws:.*\/v1\/lag$/)
  })

  test('carries a write to the other site', async () => {
    await writeAndCompare(7)
  })

  test('is found by the commands through its directory', () => {
    const lag = blockferry('lag', '--json')
    expect(lag.status, lag.stderr).toBe(0)
    expect(lag.stdout).toContain('"diskId":"vda"')
    const listed = blockferry('disks')
    expect(listed.stdout).toMatch(/vda\s+16 MiB\s+–\s+STREAMING\s+CONSISTENT/)
    expect(listed.stdout).toContain('mirror site-a->site-b')
    const topic = blockferry('topic', 'inspect', 'site-a.updates', '--site', 'site-b', '--json')
    expect(topic.stdout).toContain('"kind":"UpdateSet"')
    expect(blockferry('recovery-points', '--disk', 'vda').stdout).toContain('vda')
  })

  test('refuses a second start in the same directory', () => {
    const second = blockferry('start', '--disk', 'id=vda,size=16M')
    expect(second.status).toBe(1)
    expect(second.stderr).toContain('LAB_IN_USE')
  })

  test('stops in order with status 0, and the same command continues where it stopped', async () => {
    const before = { ready: lab.ready, disk: await appliedDisk() }
    expect(await lab.stop()).toBe(0)
    expect(existsSync(join(directory, 'ready.json'))).toBe(false)
    lab = await LabClient.start({ directory, disks })
    expect(lab.ready.sites).toEqual(before.ready.sites)
    expect(lab.ready.disks).toEqual(before.ready.disks)
    await writeAndCompare(9)
    const after = await appliedDisk()
    expect(after?.applied?.generation).toBe(before.disk?.applied?.generation)
  })
})

test('a command line with faults ends with status 2 and names all of them', () => {
  const { status, stderr } = blockferry('start', '--disk', 'id=/', '--nbd-listen', 'nowhere')
  expect(status).toBe(2)
  for (const fault of ['size is missing', 'id is "/"', '--nbd-listen']) expect(stderr).toContain(fault)
})
