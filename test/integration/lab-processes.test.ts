import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { existsSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { KiB } from '@blockferry/runtime'
import { connectReplicationLog, type ReplicationLog } from '@blockferry/replication-log'
import { readCounter, waitFor } from '@blockferry/cli'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { alterTopic } from '../support/kafka-tool.ts'
import { describeWith, requireKafka } from '../support/requirements.ts'
import type { LabReady } from '../../cli/src/lab/ready.ts'

/** What `start` does around the services: brokers, topics, WAN, MirrorMaker, and keeping them alive. */
class BareLab {
  readonly events: Record<string, unknown>[] = []
  readonly log: string[] = []
  readonly child: ChildProcess
  readonly exited: Promise<unknown>

  constructor(directory: string) {
    const script = join(import.meta.dirname, 'bare-lab.ts')
    this.child = spawn(process.execPath, [script, directory], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.exited = once(this.child, 'exit')
    for (const [stream, onLine] of [
      [this.child.stdout, (line: string) => this.events.push(JSON.parse(line) as Record<string, unknown>)],
      [this.child.stderr, (line: string) => this.log.push(line)],
    ] as const) {
      if (stream !== null) createInterface({ input: stream }).on('line', onLine)
    }
  }

  async ready(): Promise<LabReady> {
    await waitFor(() => this.events.length > 0 || this.child.exitCode !== null, {
      what: 'ready',
      deadlineMs: 180_000,
      explain: () => this.log.slice(-40).join('\n'),
    })
    if (this.child.exitCode !== null) throw new Error(this.log.join('\n'))
    return this.events[0] as unknown as LabReady
  }

  async restarted(name: string, from: number): Promise<number> {
    const find = () => this.events.slice(from).find((event) => event['process'] === name)
    await waitFor(() => find() !== undefined, { what: `${name} restarted`, deadlineMs: 60_000 })
    return Number(find()?.['pid'])
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM')
    await this.exited
    return this.child.exitCode
  }
}

let directory = ''
let lab: BareLab
let ready: LabReady
let siteA: ReplicationLog
let siteB: ReplicationLog
let sent = 0

async function connect(): Promise<void> {
  const broker = (site: string) => [ready.sites[site]?.kafka ?? '']
  siteA = await connectReplicationLog({ brokers: broker('site-a'), clientId: 'lab-test' })
  siteB = await connectReplicationLog({ brokers: broker('site-b'), clientId: 'lab-test' })
}

const updates = { topic: 'updates', kafkaPartition: 0 }
const mirrored = { topic: 'site-a.updates', kafkaPartition: 0 }

/** Numbered records; while a broker is coming back the same one is tried again. */
async function send(byteLength = 4): Promise<void> {
  const value = Buffer.alloc(byteLength)
  value.writeUInt32BE(sent + 1)
  const produce = async () => {
    await siteA.produce({ ...updates, records: [{ key: Buffer.from('vda'), value }] })
    return true
  }
  await waitFor(produce, { what: 'a record in Kafka A', deadlineMs: 60_000 })
  sent += 1
}

/** The numbers that have arrived at the target; duplicates are MirrorMaker's right. */
async function arrived(): Promise<readonly number[]> {
  const { earliest } = await siteB.offsets(mirrored)
  const numbers: number[] = []
  let kafkaOffset = earliest
  for (;;) {
    const [outcome] = await siteB.fetch({
      positions: [{ ...mirrored, kafkaOffset }],
      waitMsMax: 100,
      partitionBytesMax: 16 * 1024 * KiB,
      bytesMax: 16 * 1024 * KiB,
    })
    if (outcome?.kind !== 'records') throw new Error(`fetch: ${outcome?.kind}`)
    if (outcome.records.length === 0) return numbers
    numbers.push(...outcome.records.map(({ value }) => value.readUInt32BE()))
    kafkaOffset = outcome.nextKafkaOffset
  }
}

async function awaitArrival(): Promise<void> {
  const wanted = sent
  await waitFor(async () => (await arrived()).includes(wanted), {
    what: `record ${wanted} at the target`,
    deadlineMs: 120_000,
    everyMs: 200,
    explain: () => lab.log.slice(-40).join('\n'),
  })
}

/** As ready.json tells it now. */
function currentPid(name: string): number {
  const current = JSON.parse(readFileSync(join(directory, 'ready.json'), 'utf8')) as LabReady
  return current.processes[name]?.pid ?? 0
}

async function setLink(link: object): Promise<void> {
  const http = ready.processes['wan']?.http
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${http}/v1/link`, { method: 'PUT', headers, body: JSON.stringify(link) })
  expect(answer.status).toBe(200)
}

describeWith([requireKafka], 'the lab without its services', () => {
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'blockferry-lab-processes-'))
    lab = new BareLab(directory)
    ready = await lab.ready()
    await connect()
  })

  afterAll(async () => {
    await siteA.close()
    await siteB.close()
    await lab.stop()
    await rm(directory, { recursive: true, force: true })
  })

  test('tells in ready.json what it told on standard output', () => {
    expect(JSON.parse(readFileSync(join(directory, 'ready.json'), 'utf8'))).toEqual(ready)
    expect(Object.keys(ready.processes).toSorted()).toEqual(['kafka-a', 'kafka-b', 'mirror', 'wan'])
  })

  test('mirrors a record of 7 MiB to the other site (K7)', async () => {
    await send()
    await send(7 * 1024 * KiB)
    await awaitArrival()
  })

  test('carries nothing over a cut WAN, and everything in order once it is back', async () => {
    await setLink({ up: false })
    const wan = ready.processes['wan']?.http ?? ''
    const carriedBytes = await readCounter(wan, 'blockferry_wan_carried_bytes_total')
    await send()
    const cutNumber = sent
    const isHeld = async () => (await readCounter(wan, 'blockferry_wan_waiting_bytes')) > 0
    await waitFor(isHeld, { what: 'something to wait at the link', deadlineMs: 20_000 })
    await send()
    expect(await arrived()).not.toContain(cutNumber)
    expect(await readCounter(wan, 'blockferry_wan_carried_bytes_total')).toBe(carriedBytes)
    await setLink({ up: true })
    await awaitArrival()
    const numbers = await arrived()
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, at) => at + 1))
  })

  test('does not wait minutes for MirrorMaker after a cut longer than its session', async () => {
    const log = join(directory, 'logs', 'mirror.log')
    const { length } = readFileSync(log, 'utf8')
    await setLink({ up: false })
    // Its session at Kafka A is over: it stops its tasks, which cannot end for they wait for Kafka A.
    const isOver = () => readFileSync(log, 'utf8').slice(length).includes('Graceful stop of task')
    await waitFor(isOver, { what: 'MirrorMaker to give its session up', deadlineMs: 60_000 })
    await setLink({ up: true })
    await siteB.produce({
      topic: 'positions',
      kafkaPartition: 0,
      records: [{ key: Buffer.from('vda'), value: Buffer.from('here') }],
    })
    const back = { topic: 'site-b.positions', kafkaPartition: 0 }
    await waitFor(async () => (await siteA.offsets(back)).latest > 0n, {
      what: 'the position at the source',
      deadlineMs: 60_000,
      explain: () => lab.log.slice(-40).join('\n'),
    })
    await send()
    await awaitArrival()
  })

  test.each(['wan', 'mirror', 'kafka-b', 'kafka-a'])(
    'restarts %s after kill -9 and says so; the next record still arrives',
    async (name) => {
      const before = currentPid(name)
      const seen = lab.events.length
      process.kill(before, 'SIGKILL')
      const after = await lab.restarted(name, seen)
      expect(after).not.toBe(before)
      await send()
      await awaitArrival()
      expect(currentPid(name)).toBe(after)
    },
  )

  test('restarts a MirrorMaker whose task FAILED while its process stayed up (K7)', async () => {
    const broker = ready.sites['site-b']?.kafka ?? ''
    const limit = (value: string) =>
      alterTopic(broker, 'site-a.updates', { name: 'max.message.bytes', value })
    const before = currentPid('mirror')
    const seen = lab.events.length
    await limit('1000')
    await send(32 * KiB)
    const after = await lab.restarted('mirror', seen)
    // In time for the new one, which would fail over the same record.
    await limit('8388608')
    expect(after).not.toBe(before)
    expect(lab.log.join('\n')).toMatch(/site-a->site-b task-MirrorSourceConnector-\d+: .*Exception/)
    await awaitArrival()
  })

  test('shows each flow and what it is behind', async () => {
    const answer = await fetch(`${ready.supervisor.http}/v1/mirror`)
    const { flows } = (await answer.json()) as { flows: { flow: string; topics: unknown[] }[] }
    expect(flows.map(({ flow }) => flow)).toEqual(['site-a->site-b', 'site-b->site-a'])
    const metrics = await (await fetch(`${ready.supervisor.http}/metrics`)).text()
    expect(metrics).toContain('blockferry_mirror_records_behind{flow="site-a->site-b",topic="updates"')
    expect(metrics).toMatch(/blockferry_child_restarts\{process="mirror".*\} [1-9]/)
  })

  test('refuses a second start in its directory and names the first', async () => {
    const second = new BareLab(directory)
    await second.exited
    expect(second.log.join('\n')).toContain('LAB_IN_USE')
    expect(second.log.join('\n')).toContain(String(lab.child.pid))
  })

  test('takes its processes along when it is killed', async () => {
    const current = JSON.parse(readFileSync(join(directory, 'ready.json'), 'utf8')) as LabReady
    const pids = Object.values(current.processes).map(({ pid }) => pid)
    lab.child.kill('SIGKILL')
    await lab.exited
    await waitFor(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), {
      what: 'its processes to end',
      deadlineMs: 30_000,
    })
  })

  test('continues in the same directory with the same addresses and records, and stops in order', async () => {
    await siteA.close()
    await siteB.close()
    lab = new BareLab(directory)
    const before = ready
    ready = await lab.ready()
    await connect()
    expect(ready.sites).toEqual(before.sites)
    await send()
    await awaitArrival()
    expect(new Set(await arrived()).size).toBe(sent)
    expect(await lab.stop()).toBe(0)
    expect(existsSync(join(directory, 'ready.json'))).toBe(false)
  })
})
