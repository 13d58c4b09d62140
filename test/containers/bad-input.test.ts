import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  GenericContainer,
  getContainerRuntimeClient,
  Network,
  type StartedNetwork,
  Wait,
} from 'testcontainers'
import { MiB } from '@blockferry/runtime'
import { describeWith, requireDocker } from '../support/requirements.ts'
import { CleanUp, runLabel } from './support/clean-up.ts'
import { buildImages } from './support/images.ts'
import { kafkaImage, kafkaSettings } from './support/kafka-container.ts'
import { LoneContainer, makeVolume, onVolume } from './support/lone-container.ts'
import { runName } from './support/run-name.ts'

/*
 * What an operator gets wrong: the container says what and what next, stays up with it, and goes on by itself
 * once it is repaired. Where only a new configuration helps, it ends with 78 and names every fault.
 */

const brokers = { KAFKA_BROKERS: 'kafka-a:9092' }
const smallVolumeBytes = 192 * MiB

describeWith([requireDocker], 'containers with bad input', () => {
  const run = runName('bad-input')
  const tapImage = `${run}/tap-agent:test`
  const applierImage = `${run}/applier:test`
  let cleanUp: CleanUp

  beforeAll(async () => {
    cleanUp = new CleanUp(run)
    await buildImages({ prefix: run, tag: 'test', version: '0.0.1', only: ['tap-agent', 'applier'] })
  }, 1_500_000)

  afterAll(() => cleanUp[Symbol.asyncDispose](), 120_000)

  async function startTap(
    name: string,
    options: { readonly disks: string; readonly state?: string; readonly diskVolume?: string },
  ): Promise<LoneContainer> {
    const state = options.state ?? (await makeVolume(run, { name: `${name}-state` }))
    const disks = options.diskVolume ?? (await makeVolume(run, { name: `${name}-disks` }))
    return LoneContainer.start({
      run,
      image: tapImage,
      settings: { ...brokers, DISKS: options.disks },
      volumes: { [state]: '/state', [disks]: '/disks' },
    })
  }

  test('settings that are missing, unknown and contradictory: status 78, and every one of them is named', async () => {
    let log = ''
    const container = await new GenericContainer(applierImage)
      .withLabels({ [runLabel]: run })
      .withEnvironment({
        BLOCKFERRY_JOURNAL_BYTES_MAX: '1G',
        BLOCKFERRY_JOURNAL_DISK_BYTES_MAX: '2G',
        BLOCKFERRY_LOG_LEVEL: 'loud',
        BLOCKFERRY_COLOUR: 'blue',
      })
      .withLogConsumer((stream) => stream.on('data', (line: Buffer) => (log += line.toString('utf8'))))
      .withWaitStrategy(Wait.forLogMessage(/BLOCKFERRY_COLOUR/))
      .start()
    await container.stop({ remove: false })
    expect(await exitStatusOf(container.getId())).toBe(78)
    for (const name of ['KAFKA_BROKERS', 'JOURNAL_DISK_BYTES_MAX', 'LOG_LEVEL', 'COLOUR']) {
      expect(log).toContain(`BLOCKFERRY_${name}`)
    }
  })

  test('a disk that is missing is named with its path, and served once it is there', async () => {
    await using tap = await startTap('missing', { disks: 'id=vda,source=/disks/vda.raw' })
    await tap.unready(/disk vda: DISK_MISSING: .*\/disks\/vda\.raw.*next: /)
    await tap.run('truncate --size=16M /disks/vda.raw')
    await tap.ready()
    expect(await tap.restarts()).toBe(0)
  })

  test('a state volume that the user of the image may not write is named, and used once it may', async () => {
    const state = await makeVolume(run, { name: 'foreign-state' })
    await onVolume({
      run,
      image: tapImage,
      volume: state,
      command: 'touch /volume/kept; chown root:root /volume; chmod 700 /volume',
    })
    await using tap = await startTap('foreign', { disks: 'id=vda,source=/disks/vda.raw,size=16M', state })
    await tap.unready(/EACCES.*\/state.*chown/)
    await onVolume({ run, image: tapImage, volume: state, command: 'chown 1000:1000 /volume' })
    await tap.ready()
    expect(await tap.restarts()).toBe(0)
  })

  test('a full state volume is named, and used once there is room', async () => {
    const state = await makeVolume(run, { name: 'full-state', tmpfsBytes: smallVolumeBytes })
    const hold = await new GenericContainer(tapImage)
      .withLabels({ [runLabel]: run })
      .withEntrypoint(['sh', '-c', 'dd if=/dev/zero of=/volume/filler bs=1M; echo full; sleep 600'])
      .withBindMounts([{ source: state, target: '/volume', mode: 'rw' }])
      .withWaitStrategy(Wait.forLogMessage(/full/))
      .start()
    await using tap = await startTap('full', { disks: 'id=vda,source=/disks/vda.raw,size=16M', state })
    await tap.unready(/ENOSPC|LOG_NO_SPACE/)
    await hold.exec(['rm', '/volume/filler'])
    await tap.ready()
    await hold.stop({ timeout: 0 })
    expect(await tap.restarts()).toBe(0)
  })

  describe('two taps', () => {
    test('on one disk volume: the second says so, leaves the disk alone, and serves it when the first is gone', async () => {
      const diskVolume = await makeVolume(run, { name: 'shared-disks' })
      const disks = 'id=vda,source=/disks/vda.raw,size=16M'
      const first = await startTap('first', { disks, diskVolume })
      await first.ready()
      await using second = await startTap('second', { disks, diskVolume })
      await second.unready(/disk vda: DISK_LOCKED: .*next: /)
      await first.stop()
      await second.ready()
      expect(await second.restarts()).toBe(0)
    })

    test('on one state volume: the second says so and waits', async () => {
      const state = await makeVolume(run, { name: 'shared-state' })
      const disks = 'id=vda,source=/disks/vda.raw,size=16M'
      const diskVolume = await makeVolume(run, { name: 'shared-both' })
      const first = await startTap('one', { disks, state, diskVolume })
      await first.ready()
      await using second = await startTap('two', { disks, state, diskVolume })
      await second.unready(/STATE_LOCKED/)
      await first.stop()
      await second.ready()
      expect(await second.restarts()).toBe(0)
    })
  })

  test('a broker address at which nobody answers is named, and used once somebody does', async () => {
    await using network = await new Network().start()
    const { state, images } = {
      state: await makeVolume(run, { name: 'b-state' }),
      images: await makeVolume(run, { name: 'b-images' }),
    }
    await using applier = await LoneContainer.start({
      run,
      image: applierImage,
      settings: { ...brokers },
      volumes: { [state]: '/state', [images]: '/images' },
      networkMode: network.getName(),
    })
    await applier.unready(/kafka-a:9092/)
    await using _ = await startKafka(network)
    await applier.ready()
    expect(await applier.restarts()).toBe(0)
  })

  function startKafka(network: StartedNetwork) {
    return new GenericContainer(kafkaImage)
      .withLabels({ [runLabel]: run })
      .withNetwork(network)
      .withNetworkAliases('kafka-a')
      .withEnvironment(kafkaSettings({ port: 9092, advertised: 'kafka-a:9092' }))
      .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
      .start()
  }
})

async function exitStatusOf(id: string): Promise<number> {
  const { dockerode } = (await getContainerRuntimeClient()).container
  return (await dockerode.getContainer(id).inspect()).State.ExitCode
}
