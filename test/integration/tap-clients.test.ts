import { compareImages, LabClient, waitForDrained } from '@blockferry/cli'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeRecord } from '@blockferry/schemas'
import { readWithKcat } from '../support/kcat.ts'
import { describeNbdBadInput } from '../support/nbd-bad-input-suite.ts'
import { describeNbdClients } from '../support/nbd-client-suite.ts'
import type { ServedDisk } from '../support/nbd-plain-server.ts'
import { describeWith, requireKafka, requireTool } from '../support/requirements.ts'
import { checkFileSystemOfImage } from '../support/nbd-file-system.ts'

/*
 * The real clients of the plain server's suite, against the tap with the whole lab behind it. Each suite
 * gets a disk of its own; when it is done with it, the drained target must equal the source.
 */
const disksMax = 9
/** The server's defaults: the tap offers no knob for the deadline. */
const requestDeadlineMs = 30_000
const connectionsMax = 256
const used: LabClient['ready']['disks'][number][] = []
let lab: LabClient | null = null

describeWith([requireKafka], 'the tap, with the whole lab behind it', () => {
  beforeAll(async () => {
    const disks = Array.from({ length: disksMax }, (_, index) => `id=c${index},size=64M`)
    lab = await LabClient.start({ disks })
  })

  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]()
  })

  describeWith([requireTool('kcat')], 'the topics', () => {
    test.each([
      { site: 'site-a', topic: 'writes', kinds: ['Heartbeat', 'WriteGroup'] },
      { site: 'site-b', topic: 'site-a.updates', kinds: ['Heartbeat', 'UpdateSet'] },
    ])('show kcat in $topic the Avro marker, and the disk or the agent as key', async (expected) => {
      const running = lab
      if (running === null) throw new Error('no lab')
      await waitForDrained(running)
      const broker = running.ready.sites[expected.site]?.kafka ?? ''
      const messages = await readWithKcat(broker, expected.topic)
      const kinds = new Set<string>()
      const keys = new Set<string>()
      for (const { key, value } of messages) {
        expect(value.subarray(0, 2).toString('hex')).toBe('c301')
        const { kind, record } = decodeRecord(value)
        kinds.add(kind)
        if (kind === 'Heartbeat') expect(key).toBe(record.agentId)
        else expect(record).toMatchObject({ diskId: key })
        if (kind !== 'Heartbeat') keys.add(key)
      }
      expect([...kinds].toSorted()).toEqual(expected.kinds)
      expect([...keys].toSorted()).toEqual(running.ready.disks.map(({ id }) => id).toSorted())
    })
  })

  describeNbdClients({
    name: 'the tap',
    startServer: nextDisk,
    checkFileSystem: async (disk, expected) => {
      const { running, target } = served(disk)
      await waitForDrained(running)
      await checkFileSystemOfImage(target, expected)
    },
  })

  describe('bad input to the tap', () => {
    describeNbdBadInput({ name: 'the tap', startServer: nextDisk, requestDeadlineMs, connectionsMax })
  })
})

/** The lab's side of a disk that a suite uses. */
function served(disk: ServedDisk): { readonly running: LabClient; readonly target: string } {
  const found = used.find(({ id }) => id === disk.exportName)
  if (lab === null || found === undefined) throw new Error(`no disk ${disk.exportName} in the lab`)
  return { running: lab, target: found.target }
}

async function nextDisk(): Promise<ServedDisk> {
  const running = lab
  const disk = running?.ready.disks[used.length]
  if (running === null || disk === undefined) throw new Error('more suites than disks')
  used.push(disk)
  return {
    uri: disk.nbd,
    socketPath: new URL(disk.nbd).searchParams.get('socket') ?? '',
    exportName: disk.id,
    backingPath: disk.source,
    sizeBytes: 64 << 20,
    stop: async () => {
      await waitForDrained(running)
      const images = await compareImages(disk)
      expect(images.differing, `regions of ${disk.id} that differ at the target`).toEqual([])
      expect(images.targetAllocatedBytes).toBeLessThanOrEqual(images.sourceAllocatedBytes * 1.05 + 65_536)
      expect(images.targetAllocatedBytes).toBeGreaterThanOrEqual(images.sourceAllocatedBytes * 0.95 - 65_536)
    },
  }
}
