// Takes commands for a client of libpaho-mqtt3c from its input, one a line; paho.ts says which. Arguments: port, protocol
// version.

#include <MQTTClient.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 10
#define TIMEOUT_MS 30000

static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static int version;
static MQTTClient client;

static void fail(const char *what, int code) {
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

static void say(const char *word, int number) {
  pthread_mutex_lock(&output);
  if (number < 0) printf("%s\n", word);
  else printf("%s %d\n", word, number);
  fflush(stdout);
  pthread_mutex_unlock(&output);
}

static int on_message(void *context, char *topic, int topic_length, MQTTClient_message *message) {
  pthread_mutex_lock(&output);
  printf("message %s ", topic);
  const unsigned char *bytes = message->payload;
  if (message->payloadlen == 0) putchar('-');
  for (int i = 0; i < message->payloadlen; i++) printf("%02x", bytes[i]);
  printf(" %d %d\n", message->qos, message->retained);
  fflush(stdout);
  pthread_mutex_unlock(&output);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  return 1;
}

static void on_lost(void *context, char *cause) { say("ended", -1); }

static int digit(char character) { return character <= '9' ? character - '0' : character - 'a' + 10; }

/** In place: hexadecimal text becomes bytes. Returns how many. */
static int to_bytes(char *text) {
  if (strcmp(text, "-") == 0) return 0;
  int length = (int)strlen(text) / 2;
  for (int i = 0; i < length; i++) text[i] = (char)(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
  return length;
}

static void connect_client(const char *port, char **words, int count) {
  char address[64];
  snprintf(address, sizeof address, "tcp://127.0.0.1:%s", port);
  MQTTClient_createOptions creating = MQTTClient_createOptions_initializer;
  creating.MQTTVersion = version;
  int code = MQTTClient_createWithOptions(&client, address, words[1], MQTTCLIENT_PERSISTENCE_NONE, NULL, &creating);
  if (code != MQTTCLIENT_SUCCESS) fail("create", code);
  MQTTClient_setCallbacks(client, NULL, on_lost, on_message, NULL);

  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
  if (version == MQTTVERSION_5) options = options5;
  options.MQTTVersion = version;
  if (version == MQTTVERSION_5) options.cleanstart = atoi(words[2]);
  else options.cleansession = atoi(words[2]);
  options.keepAliveInterval = atoi(words[3]);
  MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
  if (count > 5) {
    will.topicName = words[5];
    will.payload.len = to_bytes(words[6]);
    will.payload.data = words[6];
    will.qos = atoi(words[7]);
    will.retained = atoi(words[8]);
    options.will = &will;
  }

  if (version == MQTTVERSION_5) {
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = (unsigned)atoi(words[4])};
    MQTTProperties_add(&properties, &expiry);
    MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
    MQTTProperties_free(&properties);
    code = response.reasonCode;
    MQTTResponse_free(response);
  } else {
    code = MQTTClient_connect(client, &options);
  }
  if (code != MQTTCLIENT_SUCCESS) fail("connect", code);
  // Of version 5 the library does not tell.
  say("connected", version == MQTTVERSION_5 ? -1 : options.returned.sessionPresent);
}

static void subscribe_client(char *filter, int qos) {
  if (version == MQTTVERSION_5) {
    MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
    say("subscribed", response.reasonCode);
    MQTTResponse_free(response);
    return;
  }
  int granted = qos;
  int code = MQTTClient_subscribeMany(client, 1, &filter, &granted);
  if (code != MQTTCLIENT_SUCCESS) fail("subscribe", code);
  say("subscribed", granted);
}

static void unsubscribe_client(char *filter) {
  int code;
  if (version == MQTTVERSION_5) {
    MQTTResponse response = MQTTClient_unsubscribe5(client, filter, NULL);
    code = response.reasonCode;
    MQTTResponse_free(response);
  } else {
    code = MQTTClient_unsubscribe(client, filter);
  }
  if (code != MQTTCLIENT_SUCCESS) fail("unsubscribe", code);
  say("unsubscribed", -1);
}

static void publish_client(char **words) {
  int length = to_bytes(words[2]);
  int qos = atoi(words[3]);
  int retained = atoi(words[4]);
  MQTTClient_deliveryToken token = 0;
  int code;
  if (version == MQTTVERSION_5) {
    MQTTResponse response = MQTTClient_publish5(client, words[1], length, words[2], qos, retained, NULL, &token);
    code = response.reasonCode;
    MQTTResponse_free(response);
  } else {
    code = MQTTClient_publish(client, words[1], length, words[2], qos, retained, &token);
  }
  if (code == MQTTCLIENT_SUCCESS && qos > 0) code = MQTTClient_waitForCompletion(client, token, TIMEOUT_MS);
  if (code != MQTTCLIENT_SUCCESS) fail("publish", code);
  say("published", -1);
}

static void disconnect_client(void) {
  int code = version == MQTTVERSION_5 ? MQTTClient_disconnect5(client, TIMEOUT_MS, MQTTREASONCODE_NORMAL_DISCONNECTION, NULL)
                                      : MQTTClient_disconnect(client, TIMEOUT_MS);
  if (code != MQTTCLIENT_SUCCESS) fail("disconnect", code);
  say("disconnected", -1);
}

int main(int argc, char **argv) {
  if (argc != 3) fail("arguments", argc);
  version = atoi(argv[2]);
  char *line = NULL;
  size_t capacity = 0;
  while (getline(&line, &capacity, stdin) > 0) {
    char *words[WORDS_MAX] = {NULL};
    int count = 0;
    for (char *word = strtok(line, " \n"); word != NULL && count < WORDS_MAX; word = strtok(NULL, " \n")) words[count++] = word;
    if (count == 0) continue;
    if (strcmp(words[0], "connect") == 0) connect_client(argv[1], words, count);
    else if (strcmp(words[0], "subscribe") == 0) subscribe_client(words[1], atoi(words[2]));
    else if (strcmp(words[0], "unsubscribe") == 0) unsubscribe_client(words[1]);
    else if (strcmp(words[0], "publish") == 0) publish_client(words);
    else if (strcmp(words[0], "disconnect") == 0) disconnect_client();
    else fail(words[0], 0);
  }
  return 0;
}
