import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, type Socket, createServer } from 'node:net'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { connectReplicationLog, kafkaClientNames } from './connect.ts'

const libraryOf = { platformatic: '@platformatic/kafka', kafkajs: 'kafkajs' }

/** Connects in a process of its own and prints which of the libraries were loaded. */
const connectAndTell = `
  import { registerHooks } from 'node:module'
  const [index, kafkaClient] = process.argv.slice(1)
  const loaded = new Set()
  registerHooks({
    load(url, context, next) {
      const library = /node_modules\\/(kafkajs|@platformatic\\/kafka)\\//.exec(url)?.[1]
      if (library !== undefined) loaded.add(library)
      return next(url, context)
    },
  })
  const { connectReplicationLog } = await import(index)
  const before = [...loaded]
  const log = await connectReplicationLog({ brokers: ['127.0.0.1:1'], clientId: 'test', kafkaClient })
  await log.close()
  process.stdout.write(JSON.stringify({ before, after: [...loaded] }))
`

describe.each(kafkaClientNames)('the Kafka client %s', (kafkaClient) => {
  test('is loaded when it is chosen, and the other is not', async () => {
    const index = new URL('./index.ts', import.meta.url).href
    const args = ['--input-type=module', '--eval', connectAndTell, index, kafkaClient]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    expect(JSON.parse(stdout)).toEqual({ before: [], after: [libraryOf[kafkaClient]] })
  })

  test.each([
    ['a length below zero', Buffer.from([0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0])],
    ['an answer that ends early', Buffer.from([0, 0, 0, 6, 0, 0, 0, 0, 0, 0])],
    ['another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ])('takes %s for an absent broker, without a crash or a warning', async (_, answer) => {
    const warnings: string[] = []
    const onWarning = ({ name }: Error) => void warnings.push(name)
    process.on('warning', onWarning)
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.on('data', () => socket.write(answer))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const limits = { requestTimeoutMs: 300, controlDeadlineMs: 300 }
    const brokers = [`127.0.0.1:${port}`]
    {
      await using log = await connectReplicationLog({ brokers, clientId: 'test', kafkaClient, ...limits })
      await expect(log.describeTopic('writes')).rejects.toMatchObject({
        code: expect.stringMatching(/^KAFKA_(UNREACHABLE|TIMEOUT)$/),
      })
    }
    server.close()
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
  })

  test('leaves no connection open to a broker that stays silent', async () => {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
      socket.resume()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const limits = { requestTimeoutMs: 200, controlDeadlineMs: 200 }
    const brokers = [`127.0.0.1:${port}`]
    await using log = await connectReplicationLog({ brokers, clientId: 'test', kafkaClient, ...limits })
    await expect(log.describeTopic('writes')).rejects.toMatchObject({ code: 'KAFKA_TIMEOUT' })
    await expect.poll(() => sockets.size).toBe(0)
    server.close()
  })

  test('says KAFKA_UNREACHABLE of a port nobody listens on', async () => {
    const brokers = ['127.0.0.1:1']
    await using log = await connectReplicationLog({
      brokers,
      clientId: 'test',
      kafkaClient,
      controlDeadlineMs: 200,
    })
    await expect(log.describeTopic('writes')).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' })
  })
})
