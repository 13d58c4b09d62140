import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LogLine, ServiceProcess } from '../support/service-process.ts'

/*
 * How the processes begin and end, as a supervisor and an operator see it: exit status and log. Kafka is
 * away all the time; no service needs it to start or to stop.
 */

/** Nobody listens on the discard port of this machine. */
const refusing = '127.0.0.1:9'
/** Takes every connection and never says a word. */
const silent = createServer()
const mainOf = (service: string) => `services/${service}/src/main.ts`
const misbehaving = 'test/support/lifecycle-main.ts'
const stopMsMax = 10_000

let directory = ''
/** Takes its ten seconds while the other tests run. */
let neverStops: ServiceProcess
const started: ServiceProcess[] = []

function start(...args: ConstructorParameters<typeof ServiceProcess>): ServiceProcess {
  const service = new ServiceProcess(...args)
  started.push(service)
  return service
}

function silentAddress(): string {
  return `127.0.0.1:${(silent.address() as AddressInfo).port}`
}

/** Asks for 32 MiB of an export and reads none of it: a paused machine. Resolves when the first bytes are there. */
async function leaveRepliesUnread(socketPath: string, exportName: string): Promise<Socket> {
  const client = connect(socketPath)
  // Until it reads the whole greeting of 18 bytes it has nothing to say.
  for (let greeting = 0; greeting < 18; greeting += (client.read() as Buffer | null)?.length ?? 0) {
    await once(client, 'readable')
  }
  const hello = Buffer.alloc(20)
  // Fixed newstyle, no zeroes; NBD_OPT_EXPORT_NAME.
  hello.writeUInt32BE(0b11, 0)
  hello.write('IHAVEOPT', 4, 'latin1')
  hello.writeUInt32BE(1, 12)
  hello.writeUInt32BE(exportName.length, 16)
  client.write(Buffer.concat([hello, Buffer.from(exportName)]))
  for (let cookie = 0; cookie < 32; cookie += 1) {
    const read = Buffer.alloc(28)
    read.writeUInt32BE(0x25_60_95_13, 0)
    read.writeBigUInt64BE(BigInt(cookie), 8)
    read.writeUInt32BE(1 << 20, 24)
    client.write(read)
  }
  await once(client, 'readable')
  return client
}

function faultNames(line: LogLine): readonly string[] {
  return (line['faults'] as readonly { readonly name: string }[]).map(({ name }) => name).toSorted()
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'blockferry-life-'))
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  neverStops = start(misbehaving, { settings: {}, args: ['never-stops'] })
  await neverStops.told('listening')
  neverStops.child.kill('SIGTERM')
})

afterAll(async () => {
  for (const service of started) await service[Symbol.asyncDispose]()
  silent.close()
  await rm(directory, { recursive: true })
})

describe('a wrong configuration', () => {
  const wrong = {
    'tap-agent': {
      settings: {
        KAFKA_BROKRES: 'a:1',
        SPOOL_BYTES_MAX: '12',
        HTTP_LISTEN: 'nowhere',
        DISKS: 'id=/,source=/x;id=vda,source=/y,size=513',
      },
      faults: [
        '--kafka-brokers (BLOCKFERRY_KAFKA_BROKERS)',
        '--nbd-socket (BLOCKFERRY_NBD_SOCKET) with --nbd-listen (BLOCKFERRY_NBD_LISTEN)',
        '--nonsense',
        '--state-directory (BLOCKFERRY_STATE_DIRECTORY)',
        'BLOCKFERRY_DISKS',
        'BLOCKFERRY_DISKS',
        'BLOCKFERRY_HTTP_LISTEN',
        'BLOCKFERRY_KAFKA_BROKRES',
        'BLOCKFERRY_SPOOL_BYTES_MAX',
      ],
    },
    aggregator: {
      settings: { KAFKA_BROKERS: 'nowhere', WINDOW_MS: '0', STATE_DIRECTORY: '/x' },
      faults: [
        '--nonsense',
        'BLOCKFERRY_KAFKA_BROKERS',
        'BLOCKFERRY_STATE_DIRECTORY',
        'BLOCKFERRY_WINDOW_MS',
      ],
    },
    applier: {
      settings: { KAFKA_BROKERS: 'a:1', DISKS: 'vda', JOURNAL_BYTES_MAX: 'much' },
      faults: [
        '--nonsense',
        '--state-directory (BLOCKFERRY_STATE_DIRECTORY)',
        'BLOCKFERRY_DISKS',
        'BLOCKFERRY_JOURNAL_BYTES_MAX',
      ],
    },
  }

  test.each(Object.entries(wrong))(
    'ends the %s with status 78 and names every fault, those of flags and file too',
    async (name, { faults, settings }) => {
      const file = join(directory, `${name}.yaml`)
      await writeFile(file, 'colour: red\n')
      const service = start(mainOf(name), { settings, args: ['--nonsense', '--config', file] })
      expect(await service.status()).toBe(78)
      const told = service.lines.filter(({ level }) => level === 'fatal')
      expect(told).toHaveLength(1)
      const [line] = told
      expect(line).toMatchObject({ event: 'config-invalid', service: name, code: 'CONFIG_INVALID' })
      const expected = [...faults, `colour in ${file}`].toSorted()
      expect(faultNames(line as LogLine)).toEqual(expected)
      for (const fault of expected) expect(line?.msg).toContain(fault)
    },
  )

  test('is not read at all when help is asked for', async () => {
    const service = start(mainOf('aggregator'), { settings: {}, args: ['--help'] })
    expect(await service.status()).toBe(0)
    expect(service.text.join('\n')).toContain('--kafka-brokers')
  })
})

describe('an orderly stop', () => {
  const settingsOf = (name: string): Readonly<Record<string, string>> => {
    const own: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      'tap-agent': {
        STATE_DIRECTORY: join(directory, 'tap-agent'),
        NBD_SOCKET: join(directory, 'nbd.sock'),
        DISKS: `id=vda,source=${join(directory, 'vda.raw')},size=64K`,
      },
      applier: { STATE_DIRECTORY: join(directory, 'applier'), TARGET_DIRECTORY: join(directory, 'images') },
    }
    return own[name] ?? {}
  }

  for (const name of ['tap-agent', 'aggregator', 'applier']) {
    test.each([
      { signal: 'SIGTERM', away: 'refuses', brokers: () => refusing },
      { signal: 'SIGINT', away: 'is silent', brokers: () => silentAddress() },
    ] as const)(
      `of the ${name} by $signal ends with status 0 while Kafka $away`,
      async ({ brokers, signal }) => {
        const settings = { ...settingsOf(name), KAFKA_BROKERS: brokers() }
        const service = start(mainOf(name), { settings })
        await service.http()
        service.child.kill(signal)
        expect(await service.status()).toBe(0)
        expect(service.lines).toContainEqual(expect.objectContaining({ event: 'stopping', signal }))
        expect(service.lines).toContainEqual(expect.objectContaining({ event: 'stopped' }))
      },
    )
  }

  test('of the tap-agent says of every disk that it was closed, although a client reads no reply (T5)', async () => {
    const state = join(directory, 'unread')
    const socketPath = join(directory, 'unread.sock')
    const disks = `id=vda,source=${join(directory, 'unread.raw')},size=64M`
    const settings = { KAFKA_BROKERS: refusing, STATE_DIRECTORY: state, NBD_SOCKET: socketPath, DISKS: disks }
    const service = start(mainOf('tap-agent'), { settings })
    await service.http()
    const client = await leaveRepliesUnread(socketPath, 'vda')
    service.child.kill('SIGTERM')
    expect(await service.status()).toBe(0)
    client.destroy()
  })

  test('comes of a closed standard input, where that was asked for', async () => {
    const settings = { EXIT_WITH_STDIN: '1' }
    const service = start(misbehaving, { settings, args: ['runs'] })
    await service.told('listening')
    service.child.stdin?.end()
    expect(await service.status()).toBe(0)
    expect(service.lines).toContainEqual(expect.objectContaining({ event: 'stopped' }))
  })

  test('is possible while starting', async () => {
    const service = start(misbehaving, { settings: {}, args: ['waits-in-start'] })
    await service.told('starting')
    service.child.kill('SIGTERM')
    expect(await service.status()).toBe(0)
  })
})

describe('any other end has status 1 and a line that says why', () => {
  test.each([
    {
      way: 'fails-while-running',
      line: { event: 'failed', err: { code: 'DISK_LOCKED', nextCommand: 'lslocks' } },
    },
    { way: 'breaks-an-invariant', line: { event: 'failed', err: { type: 'AssertionError' } } },
    { way: 'throws-later', line: { event: 'crashed', err: { message: 'from a callback' } } },
  ])('$way', async ({ line, way }) => {
    const service = start(misbehaving, { settings: {}, args: [way] })
    expect(await service.status()).toBe(1)
    expect(service.lines.find(({ level }) => level === 'fatal')).toMatchObject(line)
  })

  test('a state directory in use names its holder', async () => {
    const images = join(directory, 'images')
    const state = join(directory, 'shared')
    const settings = { KAFKA_BROKERS: refusing, STATE_DIRECTORY: state, TARGET_DIRECTORY: images }
    const first = start(mainOf('applier'), { settings })
    await first.http()
    const second = start(mainOf('applier'), { settings })
    expect(await second.status()).toBe(1)
    const holder = first.child.pid
    expect(second.lines.find(({ level }) => level === 'fatal')).toMatchObject({
      err: { code: 'STATE_LOCKED', details: { holder } },
    })
  })

  test('a second signal does not wait for the first one’s stop', async () => {
    const service = start(misbehaving, { settings: {}, args: ['never-stops'] })
    await service.told('listening')
    service.child.kill('SIGTERM')
    await service.told('stopping')
    service.child.kill('SIGINT')
    expect(await service.status()).toBe(1)
    expect(service.lines).toContainEqual(expect.objectContaining({ event: 'stop-forced', signal: 'SIGINT' }))
  })

  test('a stop that does not end is ended at its limit', async () => {
    expect(await neverStops.status()).toBe(1)
    const [stopping, ended] = ['stopping', 'failed'].map((event) =>
      neverStops.lines.find((line) => line.event === event),
    )
    expect(ended).toMatchObject({ err: { code: 'STOP_TIMED_OUT' } })
    const tookMs = Date.parse(String(ended?.['time'])) - Date.parse(String(stopping?.['time']))
    expect(tookMs).toBeGreaterThanOrEqual(stopMsMax - 100)
  })
})
