import { LagWatcher, readLag, waitFor, type WatchedSample } from '@blockferry/cli'
import { MiB } from '@blockferry/runtime'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { requireDocker, requireTool, describeWith } from '../support/requirements.ts'
import { runTool } from '../support/run-tool.ts'
import { CleanUp } from './support/clean-up.ts'
import { Deployment, type ServiceName, services } from './support/deployment.ts'
import { expectWholeHistory } from '../support/whole-history.ts'
import { expectEqualImages } from './support/expectations.ts'
import { Guest } from './support/guest.ts'
import { buildImages } from './support/images.ts'
import { runName } from './support/run-name.ts'

/*
 * deploy/compose as a user brings it up: one project lives through all of it, in this order.
 */

const disk = 'vda'
const filledBytes = 64 * MiB
/** The way of the data, so that each upgrade meets old neighbours on both sides. */
const upgradeOrder = ['applier', 'mirror-maker', 'wan', 'aggregator', 'tap-agent'] as const

describeWith(
  [requireDocker, requireTool('nbdcopy'), requireTool('nbdinfo'), requireTool('nbdkit')],
  'two sites in containers',
  () => {
    const project = runName('sites')
    let cleanUp: CleanUp
    let deployment: Deployment

    beforeAll(async () => {
      cleanUp = new CleanUp(project)
      await buildImages({ prefix: project, tag: 'old', version: '0.0.1' })
      deployment = await Deployment.prepare(project, `id=${disk},source=/disks/${disk}.raw,size=256M`)
    }, 1_500_000)

    afterAll(() => cleanUp[Symbol.asyncDispose](), 120_000)

    const expectHistory = () =>
      expectWholeHistory(deployment, {
        kafkaA: `127.0.0.1:${deployment.port('kafka-a')}`,
        diskIds: [disk],
      })

    const claim = (title: string, body: () => Promise<void>): void => {
      test(title, { timeout: 600_000 }, async () => {
        onTestFailed(async () => void process.stderr.write(await deployment.recentLogs()))
        await body()
      })
    }

    claim('a disk that a guest has filled before the target is there is synchronised', async () => {
      await deployment.up({ tag: 'old', only: ['kafka-a', 'tap-agent'] })
      const uri = `nbd://127.0.0.1:${deployment.port('nbd')}/${disk}`
      await runTool(
        'nbdcopy',
        '--',
        '[',
        'nbdkit',
        '--exit-with-parent',
        'random',
        `${filledBytes}`,
        ']',
        uri,
      )
      expect(await runTool('nbdinfo', '--size', uri)).toBe(`${256 * MiB}\n`)
      await deployment.up({ tag: 'old' })
      await expectEqualImages(deployment, disk)
    })

    claim(
      'what a guest writes through the published port arrives, and the lag feed outside tells of it',
      async () => {
        const samples: WatchedSample[] = []
        const url = `${deployment.url('applier').replace(/^http/, 'ws')}/v1/lag`
        using watcher = new LagWatcher({ url, diskId: disk, onSample: (sample) => samples.push(sample) })
        const guest = await Guest.start(deployment, disk)
        await guest.wrote(1_000)
        await waitFor(() => (watcher.latest?.replicationDelayMs.p99 ?? null) !== null, {
          what: 'the feed to tell the delay of what was written',
          deadlineMs: 60_000,
        })
        await guest.end()
        await expectEqualImages(deployment, disk)
        expect(samples.map(({ state }) => state)).toContain('CONSISTENT')
      },
    )

    claim(
      'a cut WAN shows as age, holds up no guest, and what was written meanwhile arrives in order',
      async () => {
        const guest = await Guest.start(deployment, disk)
        await guest.wrote(200)
        await deployment.setLink({ up: false })
        await guest.wrote(500)
        await waitFor(async () => ((await readLag(deployment))[0]?.recoveryPointAgeMs ?? 0) > 5_000, {
          what: 'the recovery point to be older than 5 s',
          deadlineMs: 60_000,
          everyMs: 250,
        })
        await guest.wrote(200)
        await deployment.setLink({ up: true })
        await guest.end()
        await expectEqualImages(deployment, disk)
        await expectHistory()
      },
    )

    for (const service of services) {
      claim(
        `${service} killed and replaced by a new container with its volumes: nothing is lost or resynced`,
        async () => {
          const guest = await Guest.start(deployment, disk)
          await guest.wrote(200)
          await deployment.killAndRemove(service)
          await deployment.up({ tag: 'old', only: [service] })
          await guest.wrote(200)
          await guest.end()
          await expectEqualImages(deployment, disk)
          await expectHistory()
        },
      )
    }

    claim('a whole site stops in order and comes back, the target first, then the source', async () => {
      const guest = await Guest.start(deployment, disk)
      await guest.wrote(200)
      await stopInOrder(['applier', 'mirror-maker', 'kafka-b'])
      await guest.wrote(500)
      await startInOrder(['kafka-b', 'mirror-maker', 'applier'])
      await guest.wrote(200)
      await guest.end()
      await stopInOrder(['tap-agent', 'aggregator', 'kafka-a'])
      await startInOrder(['kafka-a', 'aggregator', 'tap-agent'])
      await expectEqualImages(deployment, disk)
      await expectHistory()
    })

    claim('each service is upgraded to a newer image under load, and nothing is resynced', async () => {
      await buildImages({ prefix: project, tag: 'new', version: '0.0.2' })
      const guest = await Guest.start(deployment, disk)
      for (const service of upgradeOrder) {
        const before = await deployment.imageOf(service)
        await guest.wrote(100)
        await deployment.up({ tag: 'new', only: [service] })
        expect(await deployment.imageOf(service)).not.toBe(before)
        await guest.wrote(100)
      }
      await guest.end()
      await expectEqualImages(deployment, disk)
      await expectHistory()
    })

    async function stopInOrder(names: readonly ServiceName[]): Promise<void> {
      for (const name of names) {
        const { exitStatus, tookMs } = await deployment.stop(name)
        const isOurs = !name.startsWith('kafka')
        if (isOurs) expect({ name, exitStatus }).toEqual({ name, exitStatus: 0 })
        if (isOurs) expect(tookMs, `${name} stops within its ten seconds`).toBeLessThan(10_000)
      }
    }

    async function startInOrder(names: readonly ServiceName[]): Promise<void> {
      for (const name of names) await deployment.startAgain(name)
    }
  },
)
