import { waitFor } from '@blockferry/cli'
import { connectReplicationLog } from '@blockferry/replication-log'
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from 'testcontainers'
import type { MortalBroker } from '../../support/kafka-harness.ts'
import { freePorts } from '../../support/kafka-broker.ts'
import { runLabel } from './clean-up.ts'

export const kafkaImage = 'apache/kafka:4.3.1'

/** One KRaft broker, by the image's own variables; any KAFKA_ setting replaces all of the image's defaults. */
export function kafkaSettings(listener: { readonly port: number; readonly advertised: string }) {
  return {
    KAFKA_HEAP_OPTS: '-Xms128m -Xmx256m',
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_LISTENERS: `CLIENT://:${listener.port},CONTROLLER://localhost:9099`,
    KAFKA_ADVERTISED_LISTENERS: `CLIENT://${listener.advertised}`,
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_INTER_BROKER_LISTENER_NAME: 'CLIENT',
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9099',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    // The default of 128 MiB is half of that heap in one piece: a broker that reloads its logs at times finds no room.
    KAFKA_LOG_CLEANER_THREADS: '1',
    KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE: '8388608',
  }
}

/** A broker in a container that can be killed and started again with what it had. */
export class KafkaContainer implements MortalBroker {
  readonly port: number
  readonly #container: StartedTestContainer

  private constructor(container: StartedTestContainer, port: number) {
    this.#container = container
    this.port = port
  }

  /** `advertisedPort`: where clients on this machine reach it, through whatever stands between. */
  static async start(run: string, advertisedPort: number): Promise<KafkaContainer> {
    const [port = 0] = await freePorts(1)
    const container = await new GenericContainer(kafkaImage)
      .withLabels({ [runLabel]: run })
      .withEnvironment(kafkaSettings({ port: 9092, advertised: `127.0.0.1:${advertisedPort}` }))
      .withExposedPorts({ container: 9092, host: port })
      .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
      .withStartupTimeout(120_000)
      .start()
    return new KafkaContainer(container, port)
  }

  async kill(): Promise<void> {
    await (await this.#handle()).kill({ signal: 'SIGKILL' })
  }

  async start(): Promise<void> {
    await (await this.#handle()).start()
    const answers = async () => {
      const brokers = [`127.0.0.1:${this.port}`]
      await using log = await connectReplicationLog({ brokers, clientId: 'start-probe' })
      await log.describeTopic('start-probe')
      return true
    }
    const explain = () => this.#explain()
    await waitFor(answers, { what: 'the broker in the container to answer', deadlineMs: 120_000, explain })
  }

  async #explain(): Promise<string> {
    const container = await this.#handle()
    const { State } = await container.inspect()
    const lines = await container.logs({ stdout: true, stderr: true, tail: 40 })
    return `${JSON.stringify(State)}\n${lines.toString('utf8').replaceAll(/[^\n\x20-\x7e]/g, '')}`
  }

  async #handle() {
    const { dockerode } = (await getContainerRuntimeClient()).container
    return dockerode.getContainer(this.#container.getId())
  }
}
