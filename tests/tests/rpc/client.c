/* Calls CALC at a machine that its rpcbind leads to: client ADDRESS udp|tcp. */
#include "calc.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    CLIENT *client = clnt_create(argv[1], CALC, CALC_V1, argv[2]);
    if (client == NULL) {
        clnt_pcreateerror(argv[1]);
        return 1;
    }
    client->cl_auth = authunix_create_default();
    int *sum = add_1(40, 2, client);
    char **text = echo_1("as it was", client);
    node last = {3, NULL}, middle = {2, &last}, first = {1, &middle};
    list *reversed = reverse_1(&first, client);
    if (sum == NULL || text == NULL || reversed == NULL) {
        clnt_perror(client, "a call");
        return 1;
    }
    printf("sum %d text %s list", *sum, *text);
    for (node *at = *reversed; at != NULL; at = at->next) {
        printf(" %d", at->value);
    }
    printf("\n");
    clnt_destroy(client);
    return 0;
}
