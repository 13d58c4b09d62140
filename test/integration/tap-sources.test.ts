import { chmod, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '@blockferry/cli'
import { connectNbd } from '@blockferry/nbd'
import { KiB } from '@blockferry/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ServiceProcess } from '../support/service-process.ts'

/*
 * One agent, one good disk, and beside it every kind of source that cannot be served: each says why and what
 * to do, the good one does not notice, and one that is repaired is served without a restart. Kafka is away
 * all the time: the guest comes first (G1).
 */

const sizeBytes = 64 * KiB
/** Nobody listens on the discard port of this machine. */
const nobody = '127.0.0.1:9'

interface DiskView {
  readonly diskId: string
  readonly served: boolean
  readonly state: string
  readonly code: string | null
  readonly message: string | null
  readonly nextCommand: string | null
}

let directory = ''
let other: ServiceProcess
let agent: ServiceProcess
let http = ''

const sourceOf = (id: string) => join(directory, `${id}.raw`)
const socketOf = (name: string) => join(directory, `${name}.sock`)

function startAgent(name: string, disks: readonly string[]): ServiceProcess {
  return new ServiceProcess('services/tap-agent/src/main.ts', {
    settings: {
      KAFKA_BROKERS: nobody,
      STATE_DIRECTORY: join(directory, name),
      NBD_SOCKET: socketOf(name),
      DISKS: disks.join(';'),
    },
  })
}

/** What is wrong with each disk, and what tells it to the operator. */
interface Refusal {
  readonly id: string
  readonly what: string
  readonly code: string
  readonly says: RegExp
  readonly next: RegExp
}

const refusals: readonly Refusal[] = [
  {
    id: 'missing',
    what: 'missing',
    code: 'DISK_MISSING',
    says: /missing\.raw does not exist/,
    next: /ls -l/,
  },
  {
    id: 'homeless',
    what: 'to be created in a directory that is missing',
    code: 'DISK_MISSING',
    says: /nowhere\/homeless\.raw/,
    next: /ls -l/,
  },
  {
    id: 'taken',
    what: 'locked by another agent',
    code: 'DISK_LOCKED',
    says: /taken\.raw is locked by process \d+/,
    next: /lslocks/,
  },
  {
    id: 'odd',
    what: 'not a multiple of 512 bytes',
    code: 'DISK_SIZE_INVALID',
    says: /odd\.raw has 1000 bytes.* 512/,
    next: /truncate/,
  },
  { id: 'frozen', what: 'read-only', code: 'DISK_READ_ONLY', says: /frozen\.raw cannot be/, next: /chmod/ },
  {
    id: 'folder',
    what: 'a directory',
    code: 'DISK_KIND_UNSUPPORTED',
    says: /folder\.raw is not a regular file/,
    next: /stat/,
  },
  {
    id: 'other',
    what: 'of another size than configured',
    code: 'SOURCE_SIZE_INVALID',
    says: /has 65536 bytes, size= says 131072/,
    next: /size=/,
  },
  { id: 'loop', what: 'a symbolic link to itself', code: 'ELOOP', says: /loop\.raw/, next: /dmesg/ },
]
const refusedIds = refusals.map(({ id }) => id).toSorted()

async function view(id: string): Promise<DiskView> {
  return (await (await fetch(`${http}/v1/disks/${id}`)).json()) as DiskView
}

async function writeAndReadSource(id: string, fill: number): Promise<void> {
  const client = await connectNbd({ path: socketOf('agent'), exportName: id })
  await client.write(8 * KiB, Buffer.alloc(4 * KiB, fill))
  await client.flush()
  await client.disconnect()
  const source = await readFile(sourceOf(id))
  expect(source.subarray(8 * KiB, 12 * KiB).equals(Buffer.alloc(4 * KiB, fill))).toBe(true)
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'blockferry-sources-'))
  for (const id of ['good', 'taken', 'frozen', 'other'])
    await writeFile(sourceOf(id), Buffer.alloc(sizeBytes))
  await writeFile(sourceOf('odd'), Buffer.alloc(1000))
  await chmod(sourceOf('frozen'), 0o444)
  await mkdir(sourceOf('folder'))
  await symlink(sourceOf('loop'), sourceOf('loop'))
  other = startAgent('other-agent', [`id=taken,source=${sourceOf('taken')}`])
  await other.http()
  const plain = ['good', 'missing', 'taken', 'odd', 'frozen', 'folder', 'loop']
  agent = startAgent('agent', [
    ...plain.map((id) => `id=${id},source=${sourceOf(id)}`),
    `id=homeless,source=${join(directory, 'nowhere/homeless.raw')},size=64K`,
    `id=other,source=${sourceOf('other')},size=128K`,
  ])
  http = await agent.http()
})

afterAll(async () => {
  await agent[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
})

test.each(refusals)('a source that is $what is not served and says why', async (expected) => {
  const { code, id, next, says } = expected
  const disk = await view(id)
  expect(disk).toMatchObject({ served: false, state: 'FAILED', code })
  expect(disk.message).toMatch(says)
  expect(disk.nextCommand).toMatch(next)
  await expect(connectNbd({ path: socketOf('agent'), exportName: id })).rejects.toMatchObject({
    code: 'NBD_EXPORT_REFUSED',
  })
})

test('the good disk beside them is served and written; the agent says which are not', async () => {
  await writeAndReadSource('good', 7)
  expect(await view('good')).toMatchObject({ served: true })
  const ready = await fetch(`${http}/health/ready`)
  expect(ready.status).toBe(503)
  const { reasons } = (await ready.json()) as { readonly reasons: readonly string[] }
  const named = reasons.map((reason) => /^disk (\w+): /.exec(reason)?.[1])
  expect(named.map(String).toSorted()).toEqual(refusedIds)
})

test('a source that was repaired is served without a restart', async () => {
  await truncate(sourceOf('odd'), sizeBytes)
  await chmod(sourceOf('frozen'), 0o644)
  await writeFile(sourceOf('missing'), Buffer.alloc(sizeBytes))
  await other[Symbol.asyncDispose]()
  for (const id of ['odd', 'frozen', 'missing', 'taken']) {
    await waitFor(async () => (await view(id)).served, {
      what: `${id} to be served`,
      // The longest pause between two tries is half a minute.
      deadlineMs: 60_000,
      explain: async () => JSON.stringify(await view(id)),
    })
    await writeAndReadSource(id, 9)
  }
})

test('a refusal is told once in the log, however often the agent tries again', () => {
  const told = agent.lines.filter(({ event }) => event === 'disk-refused').map(({ diskId }) => String(diskId))
  const stillRefused = ['folder', 'homeless', 'loop', 'other']
  expect(told.filter((id) => stillRefused.includes(id)).toSorted()).toEqual(stillRefused)
})
